"""One HTTP/2 connection as a client of gRPC uses it (RFC 9113, RFC 7541, the gRPC-over-HTTP/2 protocol).

Only what etcd needs: calls with one message each way, and calls that go on. It sends its settings so that the other
side's headers need no memory (no dynamic table), lets it send as much as it likes, and obeys the limits it is given.
A connection ends once: every call under way is then told, and nothing is tried again here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import cast
from urllib.parse import unquote

from hpack import Decoder, HPACKError

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_TABLE_SIZE, _PUSH, _STREAMS, _WINDOW_SIZE, _FRAME_SIZE = 1, 2, 3, 4, 5  # settings
_CANCEL = 8
_WIDE_OPEN = (1 << 31) - 1  # the largest window there is
_TOP_UP = 1 << 30
_HEARTBEAT = 5.0  # seconds of silence after which we ask, and after which again we give up

OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, OUT_OF_RANGE, UNAVAILABLE = 0, 1, 4, 5, 11, 14
"""https://grpc.github.io/grpc/core/md_doc_statuscodes.html"""


class RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def literal(name: str, value: str) -> bytes:
    """A header field without compression (RFC 7541, 6.2.2). Both at most 126 bytes."""
    return b"\0%c%b%c%b" % (len(name), name.encode(), len(value), value.encode())


def _unheard() -> None:
    """Who waited has gone. A stream lets go of him, who holds it, so that both go without the garbage collector."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


@lru_cache(maxsize=256)
def _decoded(block: bytes) -> dict[str, str]:
    """A header block. The same bytes mean the same: there is no dynamic table."""
    return {str(name): str(value) for name, value in Decoder().decode(block)}


class Stream:
    """One call. `arrived` is called when there are new `messages` and when it is `over`, with an `error` or well."""

    __slots__ = ("arrived", "ended", "error", "last", "messages", "number", "over", "partial", "received", "unsent",
                 "window")  # fmt: skip

    def __init__(self, number: int, window: int, arrived: Callable[[], None], *, last: bool) -> None:
        self.number = number
        self.messages: deque[bytes] = deque()
        self.over = False
        self.ended = False  # by the other side
        self.error: RpcError | None = None
        self.arrived = arrived
        self.last = last  # what is unsent is the end of what we send
        self.unsent = b""
        self.window = window
        self.received = 0
        self.partial = bytearray()

    def feed(self, data: bytes) -> None:
        """Length-prefixed messages: one byte "compressed", four of length."""
        partial = self.partial
        partial += data
        while len(partial) >= 5:
            end = 5 + int.from_bytes(partial[1:5], "big")
            if len(partial) < end:
                break
            self.messages.append(bytes(partial[5:end]))
            del partial[:end]

    def end(self, error: RpcError | None) -> None:
        if not self.over:
            self.over, self.error = True, error
            self.arrived()


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.closed = False  # takes no more calls
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._streams: dict[int, Stream] = {}
        self._next = 1
        self._rest = b""
        self._out: list[bytes] = []
        self._window = 65535
        self._stream_window = 65535
        self._frame_size = 16384
        self._most_streams = 100
        self._received = 0
        self._headers: tuple[int, int, bytes] | None = None  # (stream, flags, block) that is to be continued
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._heard = True
        self._beat: asyncio.TimerHandle | None = None

    # ---- calls

    def start(self, headers: bytes, message: bytes, arrived: Callable[[], None], *, last: bool) -> Stream:
        """Send the first message; `last` = also the only one. To be called when there is `room`."""
        stream = Stream(self._next, self._stream_window, arrived, last=last)
        self._next += 2
        self._streams[stream.number] = stream
        self._send(_frame(_HEADERS, _END_HEADERS, stream.number, headers))
        stream.unsent = b"\0" + len(message).to_bytes(4, "big") + message
        self._pump(stream)
        return stream

    @property
    def has_room(self) -> bool:
        return not self.closed and len(self._streams) < self._most_streams

    async def room(self) -> None:
        """Until the other side takes one more call. RpcError."""
        while not self.closed and not self.has_room:
            waiting: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting
        if self.closed:
            raise RpcError(UNAVAILABLE, "the connection was closed")

    def finish(self, stream: Stream) -> None:
        """We are done with it, whether it is over or not."""
        if self._streams.pop(stream.number, None) is not None:
            stream.arrived = _unheard
            if not stream.ended and not self.closed:
                self._send(_frame(_RST, 0, stream.number, _CANCEL.to_bytes(4, "big")))
            while self._waiting:
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(None)
                    break

    @property
    def idle(self) -> bool:
        return not self._streams

    def close(self, why: str = "the connection was closed") -> None:
        self.closed = True
        if self._beat is not None:
            self._beat.cancel()
        for stream in list(self._streams.values()):
            stream.end(RpcError(UNAVAILABLE, why))
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        if self._transport is not None:
            self._flush()
            self._transport.close()

    # ---- sending

    def _send(self, data: bytes) -> None:
        """What is sent in one turn of the loop goes out together: one TLS record, one system call."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out = []

    def _pump(self, stream: Stream) -> None:
        """As much of what is unsent as the windows allow."""
        while stream.unsent:
            size = min(len(stream.unsent), self._window, stream.window, self._frame_size)
            if size <= 0:
                return
            piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._window -= size
            stream.window -= size
            flags = _END_STREAM if stream.last and not stream.unsent else 0
            self._send(_frame(_DATA, flags, stream.number, piece))

    # ---- receiving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = b"".join(
            name.to_bytes(2, "big") + value.to_bytes(4, "big")
            for name, value in ((_TABLE_SIZE, 0), (_PUSH, 0), (_WINDOW_SIZE, _WIDE_OPEN))
        )
        self._send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings))
        self._send(_frame(_WINDOW, 0, 0, (_WIDE_OPEN - 65535).to_bytes(4, "big")))
        self._beat = self._loop.call_later(_HEARTBEAT, self._heartbeat)

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"the connection was lost ({error})" if error else "the connection was closed by etcd")

    def _heartbeat(self) -> None:
        if not self._heard:
            self.close("the connection is silent")
            if self._transport is not None:
                self._transport.abort()
            return
        self._heard = False
        self._send(_frame(_PING, 0, 0, bytes(8)))
        self._beat = self._loop.call_later(_HEARTBEAT, self._heartbeat)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        buffer = self._rest + data if self._rest else data
        at, size = 0, len(buffer)
        try:
            while size - at >= 9:
                end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
                if end > size:
                    break
                number = int.from_bytes(buffer[at + 5 : at + 9], "big") & _WIDE_OPEN
                self._take(buffer[at + 3], buffer[at + 4], number, buffer[at + 9 : end])
                at = end
        except (HPACKError, ValueError, IndexError) as error:
            self.close(f"etcd's answer is no HTTP/2: {error}")
            return
        self._rest = buffer[at:]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == _DATA:
            self._take_data(flags, number, payload)
        elif kind in (_HEADERS, _CONTINUATION):
            self._take_headers(kind, flags, number, payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._take_settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._send(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW:
            self._take_window(number, int.from_bytes(payload, "big"))
        elif kind == _RST:
            if stream := self._streams.get(number):
                stream.ended = True
                stream.end(RpcError(UNAVAILABLE, f"etcd reset the call ({int.from_bytes(payload, 'big')})"))
        elif kind == _GOAWAY:
            self.closed = True  # calls under way may finish
            last = int.from_bytes(payload[:4], "big") & _WIDE_OPEN
            for stream in [stream for stream in self._streams.values() if stream.number > last]:
                stream.end(RpcError(UNAVAILABLE, "etcd closes the connection"))

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received >= _TOP_UP:
            self._send(_frame(_WINDOW, 0, 0, self._received.to_bytes(4, "big")))
            self._received = 0
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.received += len(payload)
        if stream.received >= _TOP_UP:
            self._send(_frame(_WINDOW, 0, number, stream.received.to_bytes(4, "big")))
            stream.received = 0
        stream.feed(_unpadded(flags, payload))
        if flags & _END_STREAM:
            stream.ended = True
            stream.end(RpcError(UNAVAILABLE, "etcd ended the call without a status"))
        elif stream.messages:
            stream.arrived()

    def _take_headers(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == _HEADERS:
            block = _unpadded(flags, payload)[5 if flags & _PRIORITY else 0 :]
            self._headers = (number, flags, block)
        elif self._headers is not None:
            number, first, block = self._headers
            self._headers = (number, first, block + payload)
        if not flags & _END_HEADERS or self._headers is None:
            return
        (number, flags, block), self._headers = self._headers, None
        stream = self._streams.get(number)
        if stream is None:
            return
        headers = _decoded(block)
        if flags & _END_STREAM:
            code = int(headers.get("grpc-status", UNAVAILABLE))
            stream.ended = True
            text = unquote(headers.get("grpc-message", headers.get(":status", "")))
            stream.end(RpcError(code, text) if code != OK else None)

    def _take_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big")
            if name == _STREAMS:
                self._most_streams = value
            elif name == _FRAME_SIZE:
                self._frame_size = value
            elif name == _WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
        self._send(_frame(_SETTINGS, _ACK, 0))
        self._take_window(0, 0)

    def _take_window(self, number: int, more: int) -> None:
        if number == 0:
            self._window += more
        elif stream := self._streams.get(number):
            stream.window += more
        for stream in list(self._streams.values()):
            if stream.unsent:
                self._pump(stream)


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
