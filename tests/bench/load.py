"""A light HTTPS load generator: a fixed number of keep-alive connections, bounded requests, plain HTTP/1.1.

It sends prebuilt bytes and reads status and body, nothing more, so that the server is what is measured. Only
loopback is ever a target.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import audit, encryption
from deploy.components import discreet
from deploy.layout import Layout
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer


def as_up_has_it(directory: Path, etcd: EtcdServer) -> ApiServer:
    """The server that is measured: with Secrets encrypted and requests noted."""
    layout = Layout(directory)
    encryption.ensure(layout.encryption_file)
    audit.ensure(layout.audit_policy)
    return ApiServer(directory / "apiserver", etcd, *discreet(layout))


@dataclass(frozen=True, slots=True)
class Result:
    requests: int
    seconds: float
    latencies: list[float]
    bytes: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def request(method: str, path: str, host: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Accept: application/json"]
    lines += [f"{k}: {v}" for k, v in headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1 << 22))

    async def send(self, data: bytes) -> tuple[int, bytes]:
        """(status code, body)."""
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        code = int(head[9:12])
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return code, await self._chunks()
        at = lower.find(b"content-length: ")
        length = int(lower[at + 16 : lower.index(b"\r\n", at)]) if at >= 0 else 0
        return code, await self._reader.readexactly(length)

    async def lines(self, data: bytes) -> AsyncIterator[bytes]:
        """The lines of a watch, until the server ends it."""
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if int(head[9:12]) != 200:
            raise RuntimeError(f"the watch was answered {head[:200]!r}")
        pending = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            pending += (await self._reader.readexactly(size + 2))[:-2]
            *complete, pending = pending.split(b"\n")
            for line in complete:
                yield line

    async def _chunks(self) -> bytes:
        parts = []
        while True:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            parts.append((await self._reader.readexactly(size + 2))[:-2])
            if size == 0:
                return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


class Meter(asyncio.BufferedProtocol):
    """A connection that counts the bytes of an answer and keeps only how its body begins: a reader that did more would
    be slower than the server."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 18)
        self._head = b""
        self._code = self._size = self._left = 0
        self._beginning = b""
        self._answered: asyncio.Future[tuple[int, int, bytes]] | None = None
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    async def send(self, data: bytes) -> tuple[int, int, bytes]:
        """(status code, size of the body, how it begins)."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await self._answered

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._left:
            self._left -= nbytes
        else:
            self._head += self._buffer[:nbytes]
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            lower = head.lower()
            at = lower.index(b"content-length: ") + 16
            self._code, self._size = int(head[9:12]), int(lower[at:].split(b"\r", 1)[0])
            self._left, self._beginning, self._head = self._size - len(rest), rest[:300], b""
        if not self._left and self._answered is not None:
            self._answered.set_result((self._code, self._size, self._beginning))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionResetError("the server hung up"))

    def close(self) -> None:
        self._transport.abort()


async def run(
    port: int,
    context: ssl.SSLContext,
    make: Callable[[int], bytes],
    *,
    requests: int,
    connections: int = 16,
    expect: int = 200,
) -> Result:
    """Send `make(0)` … `make(requests - 1)` over `connections`; any other answer than `expect` is an error."""
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Meter, "127.0.0.1", port, ssl=context))[1] for _ in range(connections)]
    numbers = iter(range(requests))
    latencies: list[float] = []
    size = 0

    async def worker(connection: Meter) -> None:
        nonlocal size
        for number in numbers:
            data = make(number)
            started = time.perf_counter()
            code, length, beginning = await connection.send(data)
            latencies.append(time.perf_counter() - started)
            size += length
            if code != expect:
                raise RuntimeError(f"request {number} was answered {code}: {beginning!r}")

    began = time.perf_counter()
    await asyncio.gather(*(worker(c) for c in opened))
    seconds = time.perf_counter() - began
    for connection in opened:
        connection.close()
    return Result(requests, seconds, latencies, size)


async def make_account(server: ApiServer) -> None:
    """The account that pods of namespace `default` run as, where no controller makes it."""
    data = request(
        "POST", "/api/v1/namespaces/default/serviceaccounts", f"127.0.0.1:{server.port}",
        b'{"metadata":{"name":"default"}}',
    )  # fmt: skip
    await run(server.port, client_context(server), lambda _: data, requests=1, connections=1, expect=201)


def client_context(server: ApiServer) -> ssl.SSLContext:
    """TLS with the administrator's certificate."""
    context = ssl.create_default_context(cafile=server.pki.file("ca.crt"))
    pair = server.pki.client("bench", "system:masters")
    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.certificate + pair.key)
        file.flush()
        context.load_cert_chain(file.name)
    return context
