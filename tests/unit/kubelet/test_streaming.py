"""The pure parts of the streaming door: channels in messages, terminal sizes, ports, outcomes.

Sources: k8s.io/apimachinery/pkg/util/remotecommand, k8s.io/streaming wsstream (the dialects), KEP-4006 (closing).
"""

from __future__ import annotations

import pytest

from api.errors import BadRequest
from kubelet.server.streaming.channels import DIALECTS, STDIN, STDOUT, dialect
from kubelet.server.streaming.port_forward import asked_ports
from kubelet.server.streaming.remote_command import parse_sizes


@pytest.mark.parametrize("name", ["", *DIALECTS])
def test_what_a_dialect_writes_it_reads(name: str) -> None:
    spoken = dialect(name)
    for channel, data in ((STDOUT, b""), (STDIN, b"\x00\xff"), (9, b"x" * 1000)):
        assert spoken.decode(spoken.encode(channel, data)) == (channel, data)


@pytest.mark.parametrize(
    ("name", "message", "decoded"),
    [
        ("v4.channel.k8s.io", b"\x00abc", (0, b"abc")),
        ("v4.channel.k8s.io", "\x00abc", (0, b"abc")),  # the Python client sends text
        ("v5.channel.k8s.io", b"\xff\x00", (255, b"\x00")),
        ("base64.channel.k8s.io", "0YWJj", (0, b"abc")),
        ("base64.channel.k8s.io", b"1", (1, b"")),
        ("base64.channel.k8s.io", "0no base64", None),
        ("channel.k8s.io", b"", None),
    ],
)
def test_messages(name: str, message: bytes | str, decoded: tuple[int, bytes] | None) -> None:
    assert dialect(name).decode(message) == decoded


@pytest.mark.parametrize(
    ("text", "sizes", "rest"),
    [
        ('{"Width":80,"Height":24}', [(80, 24)], ""),
        ('{"Width":80,"Height":24}\n{"Width":81,"Height":25}', [(80, 24), (81, 25)], ""),
        ('{"Width":80,', [], '{"Width":80,'),
        ("nonsense", [], ""),
        ("[1]", [], ""),
        ('{"Width":"wide"}', [], ""),
        ('{"' + "x" * 5000, [], ""),
    ],
)
def test_sizes_however_they_are_cut(text: str, sizes: list[tuple[int, int]], rest: str) -> None:
    assert parse_sizes(text) == (sizes, rest)


def test_ports_of_a_query() -> None:
    assert asked_ports(["80,81", "82"]) == [80, 81, 82]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], 'query parameter "port" is required'),
        ([""], 'query parameter "port" cannot be empty'),
        (["http"], 'unable to parse "http" as a port: invalid syntax'),
        (["70000"], 'unable to parse "70000" as a port: invalid syntax'),
        (["0"], 'port "0" must be > 0'),
    ],
)
def test_what_is_no_port(values: list[str], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        asked_ports(values)
    assert caught.value.message == text
