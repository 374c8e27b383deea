"""gRPC calls to one address, over a connection that is made when it is needed and made anew when it is lost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping

from apiserver.storage.http2 import DEADLINE_EXCEEDED, UNAVAILABLE, Connection, RpcError, literal

_CONNECT_SECONDS = 3.0


class NotConnected(RpcError):
    """The request was never sent: it is safe to send it elsewhere."""


class Channel:
    def __init__(self, address: str, tls: ssl.SSLContext | None, metadata: Mapping[str, str]) -> None:
        self._address = address
        self._tls = tls
        scheme = "https" if tls else "http"
        self._head = literal(":method", "POST") + literal(":scheme", scheme)
        self._tail = literal(":authority", address) + literal("content-type", "application/grpc")
        self._tail += literal("te", "trailers") + b"".join(literal(*pair) for pair in metadata.items())
        self._headers: dict[str, bytes] = {}
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None

    async def unary(self, method: str, message: bytes, seconds: float) -> bytes:
        """`method` is "package.Service/Method". RpcError."""
        connection = await self._open()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def arrived() -> None:
            if stream.over and not done.done():
                done.set_result(None)

        stream = connection.start(self._of(method), message, arrived, last=True)
        timer = loop.call_later(seconds, stream.end, RpcError(DEADLINE_EXCEEDED, "context deadline exceeded"))
        try:
            if not stream.over:
                await done
        finally:
            timer.cancel()
            connection.finish(stream)
        if stream.error is not None:
            raise stream.error
        if not stream.messages:
            raise RpcError(UNAVAILABLE, "etcd answered without a message")
        return stream.messages[0]

    async def stream(self, method: str, message: bytes) -> AsyncGenerator[bytes, None]:
        """One message there, and what comes back until the other side ends. RpcError."""
        connection = await self._open()
        arrived = asyncio.Event()
        stream = connection.start(self._of(method), message, arrived.set, last=False)
        try:
            while True:
                while stream.messages:
                    yield stream.messages.popleft()
                if stream.over:
                    break
                arrived.clear()
                await arrived.wait()
        finally:
            connection.finish(stream)
        if stream.error is not None:
            raise stream.error

    def retire(self, seconds: float) -> None:
        """Calls under way get some time to finish."""
        if self._connection is not None and not self._connection.idle:
            asyncio.get_running_loop().call_later(seconds, self.close)
        else:
            self.close()

    def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()

    def _of(self, method: str) -> bytes:
        headers = self._headers.get(method)
        if headers is None:
            headers = self._headers[method] = self._head + literal(":path", f"/{method}") + self._tail
        return headers

    async def _open(self) -> Connection:
        connection = self._connection
        if connection is None or connection.closed:
            if self._connecting is None:
                self._connecting = asyncio.create_task(self._connect())
                self._connecting.add_done_callback(_heard)
            try:
                connection = await asyncio.shield(self._connecting)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise NotConnected(UNAVAILABLE, "the channel was closed") from error
        if not connection.has_room:
            await connection.room()
        return connection

    async def _connect(self) -> Connection:
        host, _, port = self._address.rpartition(":")
        host = host.strip("[]")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    Connection, host, int(port), ssl=self._tls, server_hostname=host if self._tls else None
                )
        except (OSError, TimeoutError) as error:
            raise NotConnected(UNAVAILABLE, f"failed to connect to {self._address}: {error}") from error
        finally:
            self._connecting = None
        self._connection = connection
        return connection


def _heard(task: asyncio.Task[Connection]) -> None:
    """Whoever waited may have gone: nobody needs to be told of a failed attempt then."""
    if not task.cancelled():
        task.exception()
