"""Port-forwarding: connections of the client's to ports inside a pod, in one of three wrappings.

  `Upgrade: SPDY/3.1`                              two SPDY streams per connection: data, and error
  WebSocket `SPDY/3.1+portforward.k8s.io`          the same frames inside messages (KEP-4006)
  WebSocket `v4.channel.k8s.io` and the like       one connection per port of the query, two channels each; both
                                                   begin with the port, two bytes, little endian

Reading from a connection waits until the client has taken what was sent; what the client sends faster than the pod
reads waits in the connection's own buffer and then, beyond it, slows the client down.

Source: k8s.io/kubelet/pkg/cri/streaming/portforward (httpstream.go, websocket.go).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from api.errors import BadRequest
from client import log
from client.spdy import PROTOCOL_ERROR, Data, Event, Framing, Opened, Pinged, Reset, SpdyError
from kubelet.server.streaming.channels import DIALECTS, dialect
from kubelet.server.streaming.pipe import Idle, InWebSocket, Pipe, agree, hung_up, take_over, wants_spdy, websocket

_log = log.get("port-forward")

PROTOCOL = "portforward.k8s.io"
TUNNELED = f"SPDY/3.1+{PROTOCOL}"
_CHUNK = 32 * 1024
BUFFER = 1 << 20
"""Bytes a connection may hold for a pod that does not read, before its client is no longer read either."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[int], Awaitable[Connection]]
"""To a port inside the pod; OSError says why not."""


async def serve(request: web.Request, dial: Dial, pod: str, idle: Idle) -> web.StreamResponse:
    """Until the client has gone, or nothing was sent for too long. `pod` names the pod in messages."""
    response: web.StreamResponse
    work: Forwarder | Channels
    if wants_spdy(request):
        pipe, response = await take_over(request, agree(request, (PROTOCOL,)))
        work = Forwarder(pipe, dial, pod, idle)
    elif TUNNELED in request.headers.get("Sec-WebSocket-Protocol", ""):
        response = socket = await websocket(request, (TUNNELED,))
        work = Forwarder(InWebSocket(socket), dial, pod, idle)
    else:
        ports = asked_ports(request.query.getall("port", []))
        response = socket = await websocket(request, tuple(name for name in DIALECTS if not name.startswith("v5")))
        work = Channels(socket, dial, pod, ports, idle)
    tasks = {asyncio.create_task(each) for each in (work.run(), hung_up(request), idle.passed())}
    try:
        for ended in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
            ended.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return response


def asked_ports(values: list[str]) -> list[int]:
    """BadRequest in upstream's words for none, and for what is none."""
    if not values:
        raise BadRequest('query parameter "port" is required')
    ports = []
    for text in (text for value in values for text in value.split(",")):
        if not text:
            raise BadRequest('query parameter "port" cannot be empty')
        if not text.isascii() or not text.isdigit() or int(text) > 65535:
            raise BadRequest(f'unable to parse "{text}" as a port: invalid syntax')
        if int(text) < 1:
            raise BadRequest(f'port "{text}" must be > 0')
        ports.append(int(text))
    return ports


class Link:
    """One connection into the pod: `send` to it, `pump` from it. It may still be dialled when data comes."""

    def __init__(self, dial: Dial, port: int, pod: str, idle: Idle) -> None:
        self.port, self._pod, self._idle = port, pod, idle
        self._dialled = asyncio.ensure_future(self._connect(dial))

    async def _connect(self, dial: Dial) -> Connection:
        reader, writer = await dial(self.port)
        writer.transport.set_write_buffer_limits(high=BUFFER)
        return reader, writer

    async def send(self, data: bytes, *, fin: bool = False) -> None:
        """Waits while more than BUFFER is not read. What a closed connection does not take is dropped."""
        self._idle.touch()
        await asyncio.wait({self._dialled})
        if self._dialled.cancelled() or self._dialled.exception() is not None:
            return
        _, writer = self._dialled.result()
        if writer.is_closing():
            return
        with contextlib.suppress(OSError):
            if data:
                writer.write(data)
                await writer.drain()
            if fin and writer.can_write_eof():
                writer.write_eof()

    async def pump(self, out: Callable[[bytes], Awaitable[None]]) -> str:
        """Everything the pod says, to `out`. Returns what went wrong, else ""."""
        try:
            reader, _ = await self._dialled
            while data := await reader.read(_CHUNK):
                self._idle.touch()
                await out(data)
        except OSError as error:
            return f"error forwarding port {self.port} to pod {self._pod}: {error}"
        return ""

    def close(self) -> None:
        self._dialled.cancel()
        if self._dialled.done() and not self._dialled.cancelled() and self._dialled.exception() is None:
            self._dialled.result()[1].close()


@dataclass(slots=True)
class _Pair:
    streams: dict[str, int] = field(default_factory=dict)  # streamtype → stream
    link: Link | None = None
    task: asyncio.Task[None] | None = None
    client_done: bool = False
    pod_done: bool = False

    def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
        if self.link is not None:
            self.link.close()


class Forwarder:
    """The streams of one client, in pairs by request id."""

    def __init__(self, pipe: Pipe, dial: Dial, pod: str, idle: Idle) -> None:
        self._pipe, self._dial, self._pod, self._idle = pipe, dial, pod, idle
        self._framing = Framing(client=False)
        self._pairs: dict[str, _Pair] = {}

    async def run(self) -> None:
        try:
            while data := await self._pipe.receive():
                for event in self._framing.feed(data):
                    await self._handle(event)
        except (SpdyError, OSError) as error:
            _log.info("a client is left", pod=self._pod, why=str(error))
        finally:
            for pair in self._pairs.values():
                pair.close()
            await asyncio.gather(*(p.task for p in self._pairs.values() if p.task), return_exceptions=True)
            await self._pipe.close()

    async def _handle(self, event: Event) -> None:
        match event:
            case Opened(stream, headers, fin):
                await self._opened(stream, headers)
                if fin:
                    await self._data(stream, b"", fin)
            case Data(stream, data, fin):
                await self._data(stream, data, fin)
            case Reset(stream, _):
                for key in [k for k, p in self._pairs.items() if stream in p.streams.values()]:
                    self._pairs.pop(key).close()
            case Pinged(answer) if answer:
                await self._pipe.send(answer)

    async def _opened(self, stream: int, headers: Mapping[str, str]) -> None:
        kind, port = headers.get("streamtype", ""), headers.get("port", "")
        # Clients that give no id open the error stream just before its data stream.
        key = headers.get("requestid") or str(stream if kind == "error" else stream - 2)
        pair = self._pairs.setdefault(key, _Pair())
        valid = kind in ("data", "error") and kind not in pair.streams
        if not valid or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            if not pair.streams:
                del self._pairs[key]
            await self._pipe.send(self._framing.reset(stream, PROTOCOL_ERROR))
            return
        pair.streams[kind] = stream
        await self._pipe.send(self._framing.reply(stream))
        if len(pair.streams) == 2:
            pair.link = Link(self._dial, int(port), self._pod, self._idle)
            pair.task = asyncio.create_task(self._forward(key, pair, pair.link))

    async def _data(self, stream: int, data: bytes, fin: bool) -> None:
        for key, pair in self._pairs.items():
            if pair.streams.get("data") == stream and pair.link is not None:
                await pair.link.send(data, fin=fin)
                pair.client_done |= fin
                self._forget(key, pair)
                return

    async def _forward(self, key: str, pair: _Pair, link: Link) -> None:
        """What the pod says, then the end of both streams; the client's direction may go on."""
        data, error = pair.streams["data"], pair.streams["error"]

        async def out(piece: bytes) -> None:
            await self._pipe.send(self._framing.data(data, piece))

        with contextlib.suppress(OSError):  # the client has gone: `run` ends too
            failure = await link.pump(out)
            await self._pipe.send(self._framing.data(error, failure.encode(), fin=True))
            await self._pipe.send(self._framing.data(data, b"", fin=True))
        pair.pod_done = True
        self._forget(key, pair)

    def _forget(self, key: str, pair: _Pair) -> None:
        if pair.client_done and pair.pod_done and pair.link is not None:
            pair.link.close()
            self._pairs.pop(key, None)


class Channels:
    """One connection per port, dialled at once; the WebSocket ends with the last of them."""

    def __init__(self, socket: web.WebSocketResponse, dial: Dial, pod: str, ports: list[int], idle: Idle) -> None:
        self._socket, self._dialect = socket, dialect(socket.ws_protocol)
        self._links = [Link(dial, port, pod, idle) for port in ports]

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._forward(n, link)) for n, link in enumerate(self._links)]
        reading = asyncio.create_task(self._read())
        reading.add_done_callback(lambda _: [task.cancel() for task in tasks])
        try:
            await asyncio.wait(tasks)
        finally:
            for link in self._links:
                link.close()
            for task in (reading, *tasks):
                task.cancel()
            await asyncio.gather(reading, *tasks, return_exceptions=True)
            await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            decoded = self._dialect.decode(message.data) if message.type in (WSMsgType.BINARY, WSMsgType.TEXT) else None
            if decoded is not None and decoded[0] % 2 == 0 and decoded[0] // 2 < len(self._links):
                await self._links[decoded[0] // 2].send(decoded[1])

    async def _forward(self, number: int, link: Link) -> None:
        prefix = link.port.to_bytes(2, "little")
        with contextlib.suppress(OSError):  # the client has gone: `run` ends too
            await self._send(2 * number, prefix)
            await self._send(2 * number + 1, prefix)
            failure = await link.pump(lambda data: self._send(2 * number, data))
            if failure:
                await self._send(2 * number + 1, failure.encode())

    async def _send(self, channel: int, data: bytes) -> None:
        encoded = self._dialect.encode(channel, data)
        if isinstance(encoded, str):
            await self._socket.send_str(encoded)
        else:
            await self._socket.send_bytes(encoded)
