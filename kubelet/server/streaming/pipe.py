"""A client's connection as plain bytes both ways: upgraded and taken over, or inside WebSocket messages."""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from api.errors import BadRequest, Forbidden

_CHUNK = 64 * 1024
_FAREWELL_SECONDS = 5.0
_LARGEST_MESSAGE = 32 << 20
SPDY = "SPDY/3.1"


class Pipe(Protocol):
    async def receive(self) -> bytes:
        """What came; b"" when the client has gone."""

    async def send(self, data: bytes) -> None:
        """Returns when the client has room for more. OSError when it has gone."""

    async def close(self) -> None:
        """After the client has read all that was sent, or some seconds later."""


class Raw:
    """The connection of an aiohttp request after `101 Switching Protocols`."""

    def __init__(self, request: web.Request, reader: asyncio.StreamReader) -> None:
        self._protocol: Any = request.protocol
        self._reader = reader

    async def receive(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK)
        except OSError:
            return b""

    async def send(self, data: bytes) -> None:
        if self._protocol.transport is None:
            raise ConnectionResetError("the client has gone away")
        self._protocol.transport.write(data)
        await self._protocol._drain_helper()

    async def close(self) -> None:
        """To close while the client still sends would make its system throw away what it has not yet read."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while await self.receive():
                    pass
        if self._protocol.transport is not None:
            self._protocol.transport.close()


class _Feed:
    """aiohttp gives an upgraded connection's bytes to a parser; this one hands them on to a StreamReader, which
    pauses the connection when nobody reads."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._reader.feed_eof()


async def take_over(request: web.Request, protocol: str) -> tuple[Raw, web.StreamResponse]:
    """Answer 101 with the agreed protocol of the streams; the connection is then the caller's."""
    headers = {"Connection": "Upgrade", "Upgrade": SPDY}
    if protocol:
        headers["X-Stream-Protocol-Version"] = protocol
    response = web.StreamResponse(status=101, headers=headers)
    response.force_close()
    reader = asyncio.StreamReader()
    handler: Any = request.protocol
    reader.set_transport(handler.transport)
    handler.set_parser(_Feed(reader))
    await response.prepare(request)
    return Raw(request, reader), response


class InWebSocket:
    """Bytes in binary messages, whose borders mean nothing."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self) -> bytes:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is not WSMsgType.TEXT:
                return b""

    async def send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        await self._socket.close()


class Idle:
    """Tells when nothing was said for `seconds`. To say something costs nothing: no timer is set anew."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._last = time.monotonic()

    def touch(self) -> None:
        self._last = time.monotonic()

    async def passed(self) -> None:
        left = self.seconds
        while left > 0:
            await asyncio.sleep(left)
            left = self._last + self.seconds - time.monotonic()


async def hung_up(request: web.Request, pause: float = 5.0) -> None:
    """Returns when the client has closed and nobody has noticed for a while: while what it sends is not taken, it is
    not read, and its end neither."""
    transport = request.transport
    if transport is None:
        return
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    closed = False
    while not transport.is_closing():
        await asyncio.sleep(pause)
        before, closed = closed, not transport.is_closing() and bool(poll.poll(0))
        if before and closed:
            return


def wants_spdy(request: web.Request) -> bool:
    """Whether the client asks for SPDY, or else for a WebSocket. BadRequest when for neither."""
    upgrade = request.headers.get("Upgrade", "").lower()
    if "upgrade" not in request.headers.get("Connection", "").lower() or upgrade not in ("websocket", SPDY.lower()):
        raise BadRequest(f"unable to upgrade: missing upgrade headers in request: {dict(request.headers)}")
    return upgrade != "websocket"


def agree(request: web.Request, offered: tuple[str, ...]) -> str:
    """The first protocol of ours that the client names in X-Stream-Protocol-Version; "" when it names none."""
    named = [p.strip() for v in request.headers.getall("X-Stream-Protocol-Version", []) for p in v.split(",")]
    for protocol in offered:
        if protocol in named:
            return protocol
    if named:
        raise Forbidden(
            f"unable to upgrade: unable to negotiate protocol: client supports {named}, server accepts {list(offered)}"
        )
    return ""


async def websocket(request: web.Request, offered: tuple[str, ...]) -> web.WebSocketResponse:
    """Accept a WebSocket. BadRequest when the client wants protocols of which we know none."""
    asked = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
    if asked and not set(asked) & set(offered):
        raise BadRequest(f"requested protocol(s) are not supported: {asked}; supports {list(offered)}")
    socket = web.WebSocketResponse(
        protocols=offered, compress=False, max_msg_size=_LARGEST_MESSAGE, timeout=_FAREWELL_SECONDS
    )
    await socket.prepare(request)
    return socket
