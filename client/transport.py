"""HTTP/1.1 to one server, for httpx and past it: a pool of connections, each one request at a time.

A request's body is sent whole; a response's is read as it comes, and no faster than it is read here. Failures are
httpx's. Nothing is sent a second time.

Written on asyncio and httptools, because aiohttp costs a daemon 8 MB, and httpx's own transport five times the CPU.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, cast
from urllib.parse import quote, urlsplit

import httptools
import httpx

_POOL = 256
_KEEP_SECONDS = 30.0  # well below what servers keep an idle connection for
_HIGH = 1 << 20  # bytes of a response that wait to be read
_PATH_MARKS = "/%:@!$&'()*+,;=~?"


class Transport(httpx.AsyncBaseTransport):
    """Belongs to the loop it is first used on. `server` is scheme, host and port; `name` what its certificate says."""

    def __init__(self, server: str, tls: ssl.SSLContext | None, name: str = "") -> None:
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "", parts.port or (443 if tls else 80)
        self._authority = parts.netloc.rpartition("@")[2]
        self._tls, self._name = tls, name
        self._idle: list[_Link] = []
        self._slots = asyncio.Semaphore(_POOL)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits = request.extensions.get("timeout", {})
        head = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        message = _message(request.method, request.url.raw_path.decode("ascii"), head, await request.aread())
        link = await self._send(message, limits.get("connect"), limits.get("read"))
        return httpx.Response(link.status, headers=link.headers, stream=_Body(self, link, limits.get("read")))

    async def exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, connect: float, read: float
    ) -> tuple[int, bytes]:
        """The status and the whole body of the answer."""
        parts = urlsplit(url)
        target = quote(parts.path, safe=_PATH_MARKS) + (f"?{parts.query}" if parts.query else "")
        head = {"Host": self._authority, "Content-Length": str(len(body)), **headers}
        link = await self._send(_message(method, target, head.items(), body), connect, read)
        try:
            return link.status, b"".join([piece async for piece in link.pieces(read)])
        finally:
            self.release(link)

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _send(self, message: bytes, connect: float | None, read: float | None) -> _Link:
        """A connection on which this is sent and the head of its answer has come."""
        await self._slots.acquire()
        link: _Link | None = None
        try:
            link = self._kept() or await self._connected(connect)
            await link.send(message, read)
        except BaseException:
            if link is not None:
                link.close()
            self._slots.release()
            raise
        return link

    def release(self, link: _Link) -> None:
        """For the next request, if it can take one: its answer was read to the end."""
        self._slots.release()
        if not link.reusable:
            link.close()
            return
        link.since = asyncio.get_running_loop().time()
        self._idle.append(link)
        while link.since - self._idle[0].since > _KEEP_SECONDS:
            self._idle.pop(0).close()

    def _kept(self) -> _Link | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            link = self._idle.pop()
            if link.reusable and now - link.since < _KEEP_SECONDS:
                return link
            link.close()
        return None

    async def _connected(self, seconds: float | None) -> _Link:
        loop = asyncio.get_running_loop()
        name = self._name or None
        try:
            async with asyncio.timeout(seconds):
                _, link = await loop.create_connection(
                    _Link, self._host, self._port, ssl=self._tls, server_hostname=name if self._tls else None
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {seconds} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return link


def _message(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


class _Link(asyncio.Protocol):
    """One connection. The methods named `on_…` are the parser's callbacks."""

    def __init__(self) -> None:
        self.since = 0.0
        self.lost: httpx.TransportError | None = None
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._begin()
        self._complete = True

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status, self.headers = 0, cast(list[tuple[bytes, bytes]], [])
        self._headed = self._complete = self._paused = False
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def reusable(self) -> bool:
        return self._complete and not self._pieces and self.lost is None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def send(self, message: bytes, seconds: float | None) -> None:
        self._begin()
        assert self._transport is not None
        self._transport.write(message)
        while not self._headed:
            await self._more(seconds)

    async def pieces(self, seconds: float | None) -> AsyncIterator[bytes]:
        """What comes of the body, as it comes; `seconds` is the longest silence."""
        while True:
            if self._pieces:
                piece, self._pieces, self._size = b"".join(self._pieces), [], 0
                if self._paused and self._transport is not None:
                    self._paused = False
                    self._transport.resume_reading()
                yield piece
            elif self._complete:
                return
            else:
                await self._more(seconds)

    async def _more(self, seconds: float | None) -> None:
        if self.lost is not None:
            raise self.lost
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"nothing came for {seconds} s") from error
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the loop and the parser call.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def connection_lost(self, error: Exception | None) -> None:
        if self._headed and error is None and not self._has_end():
            self._complete = True
        if self.lost is None:
            self.lost = httpx.ReadError(str(error)) if error else httpx.RemoteProtocolError("the server hung up")
        self._wake()

    def data_received(self, data: bytes) -> None:
        if self._complete:
            self.close()  # an answer to nothing
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.lost = httpx.RemoteProtocolError(f"no HTTP answer: {error}")
            self.close()
        if self._size > _HIGH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status < 200:  # it will go on; the true answer follows
            self.headers = []
        else:
            self._headed = True

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self._headed:
            self._complete = True
            if not self._parser.should_keep_alive():
                self.lost = httpx.RemoteProtocolError("the server closes after this answer")

    def _has_end(self) -> bool:
        """Whether the body says where it ends; else it ends with the connection."""
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.headers)


class _Body(httpx.AsyncByteStream):
    def __init__(self, transport: Transport, link: _Link, seconds: float | None) -> None:
        self._transport, self._link, self._seconds = transport, cast(_Link | None, link), seconds

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._link is not None
        return self._link.pieces(self._seconds)

    async def aclose(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._transport.release(link)
