"""Upgraded connections, passed through as raw bytes: whatever the two ends speak, nothing here reads it.

The request goes to the other side with its Upgrade; the answer comes back as it is. After 101 each direction reads
a piece, writes it, and only then reads the next, so a slow end slows the other one down and no more than a piece
and the transports' own buffers lie here. Any other answer is passed down, and nothing more is passed up: what the
client sends next is not for the other side.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from collections.abc import Awaitable, Sequence
from urllib.parse import urlsplit

from apiserver.request import BEARER_PROTOCOL, Request
from apiserver.response import Header, Tunnel

CHUNK = 64 * 1024
_HEAD_LIMIT = 64 * 1024
_HEAD_SECONDS = 60
_LAST_WORDS_SECONDS = 5
_BEARER = BEARER_PROTOCOL.encode()


def wanted(request: Request) -> bool:
    """The client asks for an upgrade, and its connection can be had."""
    return "sampan.upgrade" in request.scope


def is_websocket(request: Request) -> bool:
    return wanted(request) and request.header(b"upgrade").lower() == "websocket"


async def open_tunnel(
    request: Request,
    url: str,
    tls: ssl.SSLContext | None,
    server_name: str,
    headers: Sequence[Header],
    connect_seconds: float,
) -> Tunnel:
    """Ask the other side for the same upgrade. OSError or TimeoutError when it cannot be reached."""
    target = urlsplit(url)
    secure = target.scheme in ("https", "wss")
    async with asyncio.timeout(connect_seconds):
        reader, writer = await asyncio.open_connection(
            target.hostname,
            target.port or (443 if secure else 80),
            ssl=(tls or ssl.create_default_context()) if secure else None,
            server_hostname=(server_name or target.hostname) if secure else None,
            limit=_HEAD_LIMIT,
        )
    try:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        writer.write(_head(f"{request.method} {path} HTTP/1.1".encode("latin-1"), _with_upgrade(request, headers)))
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
    except BaseException as error:
        writer.close()
        if isinstance(error, asyncio.IncompleteReadError | asyncio.LimitOverrunError):
            raise ConnectionResetError("the answer to the upgrade ended early or is too long") from error
        raise
    return Tunnel(lambda client, out: _serve(client, out, reader, writer, head), writer.close)


def _with_upgrade(request: Request, headers: Sequence[Header]) -> list[Header]:
    """A token that came as a WebSocket protocol (browsers cannot send others) was for us alone."""
    kept = []
    for name, value in headers:
        if name == b"sec-websocket-protocol" and _BEARER in value:
            value = b", ".join(p.strip() for p in value.split(b",") if not p.strip().startswith(_BEARER))
        kept.append((name, value))
    return [*kept, (b"connection", b"Upgrade"), (b"upgrade", request.header(b"upgrade").encode("latin-1"))]


def _head(first: bytes, headers: Sequence[Header]) -> bytes:
    return b"\r\n".join([first, *(name + b": " + value for name, value in headers), b"", b""])


async def _serve(
    client: asyncio.StreamReader,
    client_out: asyncio.StreamWriter,
    other: asyncio.StreamReader,
    other_out: asyncio.StreamWriter,
    head: bytes,
) -> None:
    try:
        if head.split(b" ", 2)[1:2] == [b"101"]:
            client_out.write(head)
            await _until_first(splice(client, client_out, other, other_out), hung_up(client_out.transport))
        else:
            client_out.write(_closing(head))
            await _until_first(pump(other, client_out), _drain(client))
    finally:
        other_out.close()
        client_out.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await client_out.wait_closed()


async def splice(
    a: asyncio.StreamReader, a_out: asyncio.StreamWriter, b: asyncio.StreamReader, b_out: asyncio.StreamWriter
) -> bool:
    """Until either side has ended, or broken."""
    await _until_first(pump(a, b_out), pump(b, a_out))
    return True


async def hung_up(transport: asyncio.BaseTransport, pause: float = 5.0) -> bool:
    """Returns when the peer has closed and nobody has noticed for a while: while the other side takes nothing more,
    this one is not read, and its end neither."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    closed = False
    while not transport.is_closing():
        await asyncio.sleep(pause)
        before, closed = closed, not transport.is_closing() and bool(poll.poll(0))
        if before and closed:
            break
    return True


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """True when the reader has ended, False when the writer no longer takes anything."""
    while True:
        try:
            data = await reader.read(CHUNK)
        except OSError:
            return True
        if not data:
            return True
        try:
            writer.write(data)
            await writer.drain()
        except OSError:
            return False


async def _drain(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(OSError):
        while await reader.read(CHUNK):
            pass
    return True


async def _until_first(*ways: Awaitable[bool]) -> None:
    """Until one way has ended. When it is a writer that has gone, what that side said last is still passed on."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if rest and not any(task.result() for task in done):
            await asyncio.wait(rest, timeout=_LAST_WORDS_SECONDS)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _closing(head: bytes) -> bytes:
    """The head of an answer after which the connection ends."""
    first, *rest = head[:-4].split(b"\r\n")
    kept = [line for line in rest if line.partition(b":")[0].strip().lower() not in (b"connection", b"keep-alive")]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])
