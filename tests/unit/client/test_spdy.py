"""SPDY/3.1 framing. Source: the draft, https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/"""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.spdy import (
    DICTIONARY,
    INVALID_STREAM,
    Data,
    Event,
    Framing,
    Opened,
    Pinged,
    Replied,
    Reset,
    SpdyError,
    WentAway,
)


def control(kind: int, body: bytes, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def test_the_dictionary_is_the_drafts() -> None:
    """Section 2.6.10.1; its Adler-32 is what a zlib stream made with it names."""
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_streams_are_opened_and_answered() -> None:
    client, server = Framing(client=True), Framing(client=False)
    number, opening = client.open({"StreamType": "data", "port": "80", "requestID": "0"})
    assert number == 1
    assert list(server.feed(opening)) == [Opened(1, {"streamtype": "data", "port": "80", "requestid": "0"}, False)]
    assert list(client.feed(server.reply(1))) == [Replied(1, False)]
    second, opening = client.open({"streamtype": "error"})  # the compressor's state goes on
    assert second == 3
    assert list(server.feed(opening)) == [Opened(3, {"streamtype": "error"}, False)]
    assert list(server.feed(client.reset(3, INVALID_STREAM))) == [Reset(3, INVALID_STREAM)]
    assert list(client.feed(server.go_away(3))) == [WentAway()]


def test_the_other_sides_ping_is_echoed_and_ours_is_not() -> None:
    server = Framing(client=False)
    ping = control(6, struct.pack(">I", 7))
    assert list(server.feed(ping)) == [Pinged(ping)]
    assert list(server.feed(control(6, struct.pack(">I", 2)))) == [Pinged(b"")]


def test_credit_and_settings_are_read_over() -> None:
    server = Framing(client=False)
    window = control(9, struct.pack(">II", 1, 65536))
    settings = control(4, struct.pack(">III", 1, 7, 1 << 20))
    assert list(server.feed(settings + window + server.data(1, b"x", fin=True))) == [Data(1, b"x", True)]


def test_a_large_frame_comes_in_the_pieces_it_came_in() -> None:
    """Nothing waits for its whole."""
    server = Framing(client=False)
    frame = server.data(5, b"a" * 100_000, fin=True)
    assert list(server.feed(frame[:50_000])) == [Data(5, b"a" * 49_992, False)]
    assert list(server.feed(frame[50_000:])) == [Data(5, b"a" * 50_008, True)]


def test_an_empty_last_frame_ends_a_stream() -> None:
    server = Framing(client=False)
    assert list(server.feed(server.data(1, b"", fin=True))) == [Data(1, b"", True)]


@pytest.mark.parametrize(
    "broken",
    [
        control(1, b"\0" * 10 + b"no zlib"),
        control(1, b""),
        control(3, b"\0\0\0\1"),
        control(6, struct.pack(">I", 1), version=2),
        struct.pack(">HHI", 0x8003, 1, 0xFFFFFF),
        b"\xff" * 16,
    ],
    ids=["no headers", "empty", "short", "version 2", "too long", "noise"],
)
def test_what_makes_no_sense_is_said_so(broken: bytes) -> None:
    with pytest.raises(SpdyError):
        list(Framing(client=False).feed(broken))


def test_headers_do_not_explode() -> None:
    pack = zlib.compressobj(zdict=DICTIONARY)
    bomb = pack.compress(b"\0" * (1 << 24)) + pack.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(SpdyError):
        list(Framing(client=False).feed(control(1, b"\0" * 10 + bomb)))


@given(st.lists(st.tuples(st.integers(1, 9), st.binary(max_size=50), st.booleans())), st.integers(1, 7))
def test_however_it_is_cut_it_says_the_same(sent: list[tuple[int, bytes, bool]], step: int) -> None:
    client, server = Framing(client=True), Framing(client=False)
    wire = b"".join(client.open({"n": str(n)})[1] + client.data(n, data, fin=fin) for n, data, fin in sent)
    events: list[Event] = []
    for at in range(0, len(wire), step):
        events += server.feed(wire[at : at + step])
    whole: dict[int, bytes] = {}
    for event in events:
        if isinstance(event, Data):
            whole[event.stream] = whole.get(event.stream, b"") + event.data
    assert [e.headers["n"] for e in events if isinstance(e, Opened)] == [str(n) for n, _, _ in sent]
    assert whole == {n: b"".join(d for m, d, _ in sent if m == n) for n, _, _ in sent}
    assert sum(e.fin for e in events if isinstance(e, Data)) == sum(fin for _, _, fin in sent)


@given(st.binary(max_size=200))
def test_noise_ends_in_events_or_in_a_word(noise: bytes) -> None:
    try:
        list(Framing(client=False).feed(noise))
    except SpdyError as error:
        assert str(error)
