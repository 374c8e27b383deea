"""Small tables: images, spans, libraries, host names."""

from __future__ import annotations

import io
import socket
import tarfile

import pytest

from deploy import host, images, tables
from deploy.verbs.status import span, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (60, "1m"), (185, "3m5s"), (7800, "2h10m"), (7200, "2h"), (356400, "4d3h")],
)
def test_spans_have_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_tables_align_and_leave_no_blanks_at_the_end() -> None:
    assert table([("A", "BB"), ("long", "")]) == "A      BB\nlong"


@pytest.mark.parametrize(("name", "node"), [("vm", "vm"), ("My_Laptop.Home", "my-laptop.home"), ("-x-", "x")])
def test_a_host_name_becomes_an_object_name(monkeypatch: pytest.MonkeyPatch, name: str, node: str) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert host.node_name() == node


def test_a_listener_is_found_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "pid" in host.listeners({port})[port]
    assert host.listeners({port}) == {}


def test_the_example_image_holds_its_program_and_what_that_loads() -> None:
    archive = images.archive("7")
    assert archive == images.archive("7")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = set(tar.getnames())
        hello = tar.extractfile("hello")
        assert hello is not None and b"version 7" in hello.read()
        assert tar.getmember("bin/sh").linkname == "/bin/busybox"
    assert {"bin/busybox", "bin/httpd", "etc/passwd", "tmp"} <= names
    libraries = images.libraries(str(host.find_tool("busybox")))
    assert {str(library).lstrip("/") for library in libraries} <= names


@pytest.mark.parametrize(
    ("saved", "tables_found"),
    [
        ("", {}),
        ("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", {"filter": True}),
        ("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n*nat\n:X - [0:0]\nCOMMIT\n", {"filter": False, "nat": False}),
        ("*nat\n:INPUT ACCEPT [3:9]\n-A INPUT -j ACCEPT\nCOMMIT\n", {"nat": False}),
    ],
    ids=["none", "untouched", "a policy, a chain", "a rule"],
)
def test_a_table_nobody_touched_is_told_from_one_in_use(saved: str, tables_found: dict[str, bool]) -> None:
    assert tables.parse(saved) == tables_found
