"""Docker's endless answers (events, logs, exec, attach) read on the event loop: no thread waits for any.

The docker package would hold a thread per stream and may lose what follows an upgrade's headers. The protocol
is small enough: ask in HTTP/1.0, or for an upgrade, and what follows the headers is the raw stream until it
closes. Without a TTY stdout and stderr come in frames (API documentation, "Stream format").
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

STDOUT, STDERR = 1, 2
_CHUNK = 64 * 1024
HEAD_SECONDS = 30.0


class StreamError(Exception):
    """The daemon is away, or refused: `status` is its HTTP status, 0 when it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Stream:
    """One open answer. Close it when done: that ends the daemon's side too."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end_input(self) -> None:
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    async def raw(self) -> AsyncIterator[tuple[int, bytes]]:
        while data := await self.reader.read(_CHUNK):
            yield STDOUT, data

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """(channel, data): a frame header is the channel, three zeros, the length."""
        while True:
            try:
                header = await self.reader.readexactly(8)
            except asyncio.IncompleteReadError:
                return
            left = int.from_bytes(header[4:8], "big")
            while left:
                data = await self.reader.read(min(left, _CHUNK))
                if not data:
                    return
                left -= len(data)
                yield header[0], data

    async def lines(self) -> AsyncIterator[Any]:
        """JSON objects, one per line."""
        while line := await self.reader.readline():
            yield json.loads(line)


async def open_stream(
    host: str, method: str, path: str, params: Mapping[str, str] | None = None, body: Any = None,
    *, upgrade: bool = False, headers: Mapping[str, str] | None = None, patience: float = HEAD_SECONDS,
) -> Stream:  # fmt: skip
    """StreamError when the daemon is away or answers with anything but success."""
    target = f"{path}?{urlencode(params)}" if params else path
    payload = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {target} HTTP/{'1.1' if upgrade else '1.0'}", "Host: docker"]
    head += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if upgrade:
        head += ["Connection: Upgrade", "Upgrade: tcp"]
    if payload or method == "POST":
        head += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    try:
        reader, writer = await _connect(host)
    except OSError as error:
        raise StreamError(0, f"cannot reach Docker at {host}: {error}") from error
    try:
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + payload)
        await writer.drain()
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
        status = int(answer.split(b" ", 2)[1])
        if status >= 300:
            raise StreamError(status, _message(await asyncio.wait_for(reader.read(_CHUNK), HEAD_SECONDS)))
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        writer.close()
        raise StreamError(0, f"Docker did not answer: {error!r}") from error
    except BaseException:
        writer.close()
        raise
    return Stream(reader, writer)


async def _connect(host: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    url = urlsplit(host)
    if url.scheme == "unix":
        return await asyncio.open_unix_connection(url.path, limit=1 << 20)
    return await asyncio.open_connection(url.hostname, url.port or 2375, limit=1 << 20)


def _message(body: bytes) -> str:
    start = body.find(b"{")
    try:
        return str(json.loads(body[start : body.rfind(b"}") + 1])["message"])
    except (ValueError, KeyError):
        return body.decode(errors="replace").strip()
