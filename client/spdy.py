"""SPDY/3.1 framing: bytes in, events out. Pure; both ends of a connection use it.

kubectl's port-forward, and exec of clients older than WebSockets there, speak it: over a connection upgraded with
`Upgrade: SPDY/3.1`, or inside WebSocket messages (KEP-4006). As their library does, both sides send without asking
for credit: WINDOW_UPDATE and SETTINGS are read and not acted upon, and what slows a sender down is the connection.

Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum


class Frame(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


_FIN = 1
_VERSION = 3
_MOST_CONTROL = 256 * 1024
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status|200 OK|version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """Section 2.6.10.1: words with their lengths, then text."""
    before, whole, after = _WORDS.split("|")
    words = [*before.split(), whole, *after.split()]
    return b"".join(struct.pack(">I", len(word)) + word.encode() for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()


class SpdyError(Exception):
    """The other side does not speak the protocol: the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The other side opens a stream. Header names are in lower case."""

    stream: int
    headers: Mapping[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Replied:
    stream: int
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream, as it came: a frame may make several. `fin` with the last one of all."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """`answer` is to be sent back; empty when the ping was ours."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class WentAway:
    """The other side wants no more streams."""


Event = Opened | Replied | Data | Reset | Pinged | WentAway


class Framing:
    """One connection. Methods that make frames return the bytes to send, in the order in which they were called."""

    def __init__(self, *, client: bool) -> None:
        self._next = 1 if client else 2
        self._ours = self._next % 2
        self._buffer = bytearray()
        self._data: tuple[int, int, int] | None = None
        """Of the data frame under way: stream, flags, bytes still to come."""
        self._pack = zlib.compressobj(zdict=DICTIONARY)
        self._unpack = zlib.decompressobj(zdict=DICTIONARY)

    # What comes.

    def feed(self, data: bytes) -> Iterator[Event]:
        """SpdyError when it makes no sense. Iterate to the end before feeding again."""
        self._buffer += data
        while True:
            if self._data is not None:
                piece = self._piece(self._data)
                if piece is None:
                    return
                yield piece
                continue
            if len(self._buffer) < 8:
                return
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first >> 31:
                del self._buffer[:8]
                self._data = (first, flags, length)
                continue
            if length > _MOST_CONTROL:
                raise SpdyError(f"a control frame of {length} bytes")
            if len(self._buffer) < 8 + length:
                return
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if first >> 16 & 0x7FFF != _VERSION:
                raise SpdyError(f"version {first >> 16 & 0x7FFF} of the protocol")
            try:
                event = self._control(first & 0xFFFF, flags, body)
            except (struct.error, zlib.error, IndexError) as error:
                raise SpdyError(f"a broken frame of type {first & 0xFFFF}: {error}") from error
            if event is not None:
                yield event

    def _piece(self, frame: tuple[int, int, int]) -> Data | None:
        stream, flags, left = frame
        if left and not self._buffer:
            return None
        piece = bytes(self._buffer[:left])
        del self._buffer[:left]
        left -= len(piece)
        self._data = (stream, flags, left) if left else None
        return Data(stream, piece, not left and bool(flags & _FIN))

    def _control(self, kind: int, flags: int, body: bytes) -> Event | None:
        number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF if kind != Frame.SETTINGS else 0
        match kind:
            case Frame.SYN_STREAM:
                return Opened(number, self._headers(body[10:]), bool(flags & _FIN))
            case Frame.SYN_REPLY:
                self._headers(body[4:])
                return Replied(number, bool(flags & _FIN))
            case Frame.RST_STREAM:
                return Reset(number, struct.unpack_from(">I", body, 4)[0])
            case Frame.PING:
                number = struct.unpack_from(">I", body)[0]
                return Pinged(b"" if number % 2 == self._ours else self._frame(Frame.PING, 0, body[:4]))
            case Frame.GOAWAY:
                return WentAway()
            case Frame.HEADERS:  # nobody we know sends them, but they move the decompressor on
                self._headers(body[4:])
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        data = self._unpack.decompress(block, _MOST_CONTROL)
        if self._unpack.unconsumed_tail:
            raise SpdyError("headers that are too long")
        count, at = struct.unpack_from(">I", data)[0], 4
        found = {}
        for _ in range(count):
            texts = []
            for _ in range(2):
                size = struct.unpack_from(">I", data, at)[0]
                if at + 4 + size > len(data):
                    raise IndexError("header beyond its block")
                texts.append(data[at + 4 : at + 4 + size].decode("latin-1"))
                at += 4 + size
            found[texts[0].lower()] = texts[1].partition("\0")[0]
        return found

    # What goes.

    def open(self, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """A new stream's number, and its SYN_STREAM."""
        number, self._next = self._next, self._next + 2
        return number, self._frame(Frame.SYN_STREAM, 0, struct.pack(">IIH", number, 0, 0) + self._packed(headers))

    def reply(self, stream: int) -> bytes:
        return self._frame(Frame.SYN_REPLY, 0, struct.pack(">I", stream) + self._packed({}))

    def data(self, stream: int, data: bytes, *, fin: bool = False) -> bytes:
        return struct.pack(">II", stream, (_FIN if fin else 0) << 24 | len(data)) + data

    def reset(self, stream: int, status: int) -> bytes:
        return self._frame(Frame.RST_STREAM, 0, struct.pack(">II", stream, status))

    def go_away(self, last: int) -> bytes:
        return self._frame(Frame.GOAWAY, 0, struct.pack(">II", last, 0))

    def _frame(self, kind: int, flags: int, body: bytes) -> bytes:
        return struct.pack(">II", 1 << 31 | _VERSION << 16 | kind, flags << 24 | len(body)) + body

    def _packed(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for pair in headers.items():
            for text in (pair[0].lower(), pair[1]):
                parts += [struct.pack(">I", len(text)), text.encode("latin-1")]
        return self._pack.compress(b"".join(parts)) + self._pack.flush(zlib.Z_SYNC_FLUSH)
