"""A connection told byte by byte what etcd would say: RFC 9113 (frames, flow control), gRPC over HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hpack import Encoder

from apiserver.storage.http2 import OUT_OF_RANGE, UNAVAILABLE, Connection, RpcError, Stream, literal

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9


class Wire(asyncio.Transport):
    """What was written, as frames."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        data, self.written = self.written.removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), b""
        while data:
            end = 9 + int.from_bytes(data[:3], "big")
            yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:end]
            data = data[end:]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(text: bytes) -> bytes:
    return b"\0" + len(text).to_bytes(4, "big") + text


def trailers(status: int, text: str = "") -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    return bytes(encoder.encode([("grpc-status", str(status)), ("grpc-message", text)]))


@pytest.fixture
async def opened() -> tuple[Connection, Wire]:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    await asyncio.sleep(0)
    list(wire.frames())
    return connection, wire


def call(connection: Connection, body: bytes = b"ask", *, last: bool = True) -> Stream:
    return connection.start(literal(":path", "/s/m"), body, lambda: None, last=last)


async def test_a_call_goes_out_in_one_write_and_is_answered_in_pieces(opened: tuple[Connection, Wire]) -> None:
    connection, wire = opened
    stream = call(connection)
    await asyncio.sleep(0)
    assert [(kind, flags, number, body) for kind, flags, number, body in wire.frames()] == [
        (HEADERS, 0x4, 1, b"\0\x05:path\x04/s/m"),
        (DATA, 0x1, 1, message(b"ask")),
    ]
    padded = b"\x02" + message(b"answer") + b"\0\0"
    block = trailers(0)
    answer = frame(HEADERS, 0x4, 1, literal(":status", "200")) + frame(DATA, 0x8, 1, padded)
    answer += frame(HEADERS, 0x1, 1, block[:3]) + frame(CONTINUATION, 0x4, 1, block[3:])
    for at in range(len(answer)):
        connection.data_received(answer[at : at + 1])
    assert (stream.over, stream.error, list(stream.messages)) == (True, None, [b"answer"])
    connection.finish(stream)
    await asyncio.sleep(0)
    assert connection.idle and list(wire.frames()) == []


async def test_a_status_is_told_and_unquoted(opened: tuple[Connection, Wire]) -> None:
    connection, _ = opened
    stream = call(connection)
    connection.data_received(frame(HEADERS, 0x5, 1, trailers(11, "etcdserver: mvcc%3A required revision")))
    assert stream.error is not None
    assert (stream.error.code, stream.error.message) == (OUT_OF_RANGE, "etcdserver: mvcc: required revision")


async def test_a_large_message_waits_for_room_in_the_windows(opened: tuple[Connection, Wire]) -> None:
    """Flow control: 65,535 bytes for the connection and the stream until more is granted."""
    connection, wire = opened
    call(connection, b"x" * 100_000)
    await asyncio.sleep(0)
    bodies = [body for kind, _, _, body in wire.frames() if kind == DATA]
    assert sum(map(len, bodies)) == 65_535 and max(map(len, bodies)) == 16_384
    connection.data_received(frame(WINDOW, 0, 0, (1 << 20).to_bytes(4, "big")))
    await asyncio.sleep(0)
    assert list(wire.frames()) == [], "the stream's own window is still shut"
    connection.data_received(frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + (200_000).to_bytes(4, "big")))
    await asyncio.sleep(0)
    sent = list(wire.frames())
    assert sum(len(body) for kind, _, _, body in sent if kind == DATA) == 100_005 - 65_535
    assert [flags for kind, flags, _, _ in sent if kind == DATA][-1] == 0x1
    assert (SETTINGS, 0x1, 0, b"") in sent


async def test_as_many_calls_at_once_as_allowed(opened: tuple[Connection, Wire]) -> None:
    connection, _ = opened
    connection.data_received(frame(SETTINGS, 0, 0, (3).to_bytes(2, "big") + (1).to_bytes(4, "big")))
    first = call(connection)
    waiting = asyncio.create_task(connection.room())
    await asyncio.sleep(0)
    assert not connection.has_room and not waiting.done()
    connection.finish(first)
    await asyncio.wait_for(waiting, 1)


async def test_a_call_that_is_given_up_is_reset(opened: tuple[Connection, Wire]) -> None:
    connection, wire = opened
    stream = call(connection, last=False)
    connection.data_received(frame(DATA, 0, 1, message(b"one") + message(b"two")[:4]))
    assert list(stream.messages) == [b"one"]
    connection.finish(stream)
    await asyncio.sleep(0)
    assert (RST, 0, 1, (8).to_bytes(4, "big")) in list(wire.frames())


async def test_pings_are_answered_and_the_end_is_told_to_all(opened: tuple[Connection, Wire]) -> None:
    connection, wire = opened
    connection.data_received(frame(PING, 0, 0, b"12345678"))
    await asyncio.sleep(0)
    assert list(wire.frames()) == [(PING, 0x1, 0, b"12345678")]
    done, cut = call(connection), call(connection)
    connection.data_received(frame(GOAWAY, 0, 0, (1).to_bytes(4, "big") + bytes(4)))
    assert connection.closed and not done.over
    assert cut.error is not None and cut.error.code == UNAVAILABLE
    with pytest.raises(RpcError):
        await connection.room()
    connection.connection_lost(None)
    assert done.error is not None and done.error.code == UNAVAILABLE


async def test_what_is_no_http2_ends_the_connection(opened: tuple[Connection, Wire]) -> None:
    connection, wire = opened
    stream = call(connection)
    connection.data_received(frame(HEADERS, 0x5, 1, b"\xff\xff\xff\xff\xff\xff"))
    assert stream.error is not None and wire.closing
