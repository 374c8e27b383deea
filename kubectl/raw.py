"""A connection to the apiserver without HTTP around it: for what is passed on as it is, and for SPDY."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from api.errors import ServiceUnavailable, from_status
from kubectl.session import Session

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def head(session: Session, method: str, path: str, headers: list[tuple[str, str]]) -> bytes:
    """A request's head, with this user's token when that is how they are known."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(session.config.server).netloc}"]
    if session.config.token:
        lines.append(f"authorization: Bearer {session.config.token}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def connect(session: Session) -> Connection:
    """OSError when the apiserver cannot be reached."""
    server, tls = urlsplit(session.config.server), session.config.ssl_context()
    name = session.config.tls_server_name or server.hostname
    port = server.port or (443 if tls else 80)
    return await asyncio.open_connection(server.hostname, port, ssl=tls, server_hostname=name if tls else None)


async def spdy(session: Session, path: str, protocol: str) -> Connection:
    """A connection upgraded to SPDY/3.1 whose streams speak `protocol`. ApiError when it is refused."""
    wanted = [
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", protocol),
        ("content-length", "0"),
    ]
    try:
        reader, writer = await connect(session)
        writer.write(head(session, "POST", path, wanted))
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ServiceUnavailable(f"no connection to {session.host}: {error}") from error
    code = int(answer.split(" ", 2)[1])
    if code == 101:
        return reader, writer
    body = await reader.read(1 << 20)
    writer.close()
    try:
        status = json.loads(body)
    except ValueError:
        status = {"message": f"unable to upgrade connection: {body.decode(errors='replace').strip()}"}
    raise from_status(status, code)
