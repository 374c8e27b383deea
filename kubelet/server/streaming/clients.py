"""The client's end of one exec or attach, over a WebSocket or over SPDY: the same few streams either way.

    async for channel, data in client.messages()      STDIN data (b"" is its end), RESIZE data; ends with the client
    await client.send(STDOUT | STDERR, data)          returns when the client has room for more
    await client.finish(status)                       the outcome, and the end of every stream

Source: k8s.io/kubelet/pkg/cri/streaming/remotecommand (httpstream.go, websocket.go).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from api.errors import BadRequest
from client.spdy import INVALID_STREAM, PROTOCOL_ERROR, Data, Framing, Opened, Pinged, SpdyError
from kubelet.server.streaming.channels import CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT, Dialect
from kubelet.server.streaming.pipe import Raw

Status = Mapping[str, Any]
STREAM_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
_STREAMS_SECONDS = 30
_TYPES = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}


class Client(Protocol):
    def messages(self) -> AsyncIterator[tuple[int, bytes]]: ...

    async def send(self, channel: int, data: bytes) -> None: ...

    async def finish(self, status: Status | None) -> None: ...


class WebSocketClient:
    def __init__(self, socket: web.WebSocketResponse, dialect: Dialect) -> None:
        self._socket, self._dialect = socket, dialect

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                continue
            decoded = self._dialect.decode(message.data)
            if decoded is None:
                continue
            channel, data = decoded
            if channel == CLOSE and self._dialect.closes:
                if data[:1] == bytes([STDIN]):
                    yield STDIN, b""
            elif data:
                yield channel, data

    async def send(self, channel: int, data: bytes) -> None:
        encoded = self._dialect.encode(channel, data)
        if isinstance(encoded, str):
            await self._socket.send_str(encoded)
        else:
            await self._socket.send_bytes(encoded)

    async def finish(self, status: Status | None) -> None:
        if not self._socket.closed:
            text = _told(status, self._dialect.tells_status)
            if text:
                await self.send(ERROR, text)
        await self._socket.close()


class SpdyClient:
    """`expected` are the channels the client has to open before anything else happens."""

    def __init__(self, pipe: Raw, expected: frozenset[int], tells_status: bool) -> None:
        self._pipe, self._expected, self._tells_status = pipe, expected, tells_status
        self._framing = Framing(client=False)
        self._streams: dict[int, int] = {}  # channel → stream
        self._early: list[tuple[int, bytes]] = []

    async def opened(self) -> None:
        """Wait until the client has opened its streams. BadRequest when it does not."""
        try:
            async with asyncio.timeout(_STREAMS_SECONDS):
                while self._expected - self._streams.keys():
                    data = await self._pipe.receive()
                    if not data:
                        raise BadRequest("the client left before it had opened its streams")
                    self._early += await self._read(data)
        except (TimeoutError, SpdyError) as error:
            raise BadRequest(f"timed out waiting for client to create streams: {error}") from error

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        early, self._early = self._early, []
        for message in early:
            yield message
        while data := await self._pipe.receive():
            try:
                read = await self._read(data)
            except SpdyError:
                return
            for message in read:
                yield message

    async def _read(self, data: bytes) -> list[tuple[int, bytes]]:
        found = []
        for event in self._framing.feed(data):
            match event:
                case Opened(stream, headers):
                    channel = _TYPES.get(headers.get("streamtype", ""))
                    if channel is None or channel in self._streams:
                        await self._pipe.send(self._framing.reset(stream, PROTOCOL_ERROR))
                    else:
                        self._streams[channel] = stream
                        await self._pipe.send(self._framing.reply(stream))
                case Data(stream, piece, fin):
                    channel = next((c for c, s in self._streams.items() if s == stream), None)
                    if channel is None:
                        await self._pipe.send(self._framing.reset(stream, INVALID_STREAM))
                        continue
                    if piece:
                        found.append((channel, piece))
                    if fin and channel == STDIN:
                        found.append((channel, b""))
                case Pinged(answer) if answer:
                    await self._pipe.send(answer)
        return found

    async def send(self, channel: int, data: bytes) -> None:
        if channel in self._streams and data:
            await self._pipe.send(self._framing.data(self._streams[channel], data))

    async def finish(self, status: Status | None) -> None:
        try:
            for channel, stream in self._streams.items():
                text = _told(status, self._tells_status) if channel == ERROR else b""
                await self._pipe.send(self._framing.data(stream, text, fin=True))
        except OSError:
            return
        finally:
            await self._pipe.close()


def _told(status: Status | None, whole: bool) -> bytes:
    """The outcome as the client's protocol tells it: a Status, or before v4 the text of a failure."""
    if status is None:
        return b""
    if whole:
        return json.dumps(status).encode()
    return str(status.get("message", "")).encode() if status["status"] != "Success" else b""
