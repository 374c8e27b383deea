"""`kubectl proxy`: the apiserver on a local port, with this user's credentials.

Each request gets a connection of its own to the apiserver: its head is checked and rewritten, everything else
passes as it is, both ways, which also serves watches and upgrades.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote, urlsplit

import typer

from kubectl import raw
from kubectl.session import Session, run

_CHUNK = 64 * 1024
_DROPPED = ("host", "authorization", "connection", "keep-alive", "proxy-connection", "upgrade")


@dataclass(frozen=True, slots=True)
class Filter:
    accept_paths: str
    reject_paths: str
    accept_hosts: str
    reject_methods: str

    def allows(self, method: str, path: str, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        shown = f"[{name}]" if ":" in name else name
        return (
            _any(self.accept_hosts, shown)
            and _any(self.accept_paths, path)
            and not _any(self.reject_paths, path)
            and not _any(self.reject_methods, method)
        )


def _any(patterns: str, text: str) -> bool:
    return any(re.search(pattern, text) for pattern in patterns.split(",") if pattern)


def command(
    port: Annotated[int, typer.Option("-p", "--port", help="Where to listen; 0 is any free port")] = 8001,
    address: Annotated[str, typer.Option("--address")] = "127.0.0.1",
    api_prefix: Annotated[str, typer.Option("--api-prefix", help="Prefix to serve the API under")] = "/",
    accept_paths: Annotated[str, typer.Option("--accept-paths", help="Regular expressions")] = "^.*",
    reject_paths: Annotated[
        str, typer.Option("--reject-paths", help="Regular expressions, which win")
    ] = "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach",
    accept_hosts: Annotated[str, typer.Option("--accept-hosts")] = r"^localhost$,^127\.0\.0\.1$,^\[::1\]$",
    reject_methods: Annotated[str, typer.Option("--reject-methods")] = "^$",
) -> None:
    rules = Filter(accept_paths, reject_paths, accept_hosts, reject_methods)
    prefix = "/" + api_prefix.strip("/")

    async def verb(session: Session) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _serve(session, rules, prefix.rstrip("/"), reader, writer)
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass  # one of the two has gone: so has the connection
            finally:
                writer.close()

        server = await asyncio.start_server(serve, address, port)
        host, chosen = server.sockets[0].getsockname()[:2]
        print(f"Starting to serve on {f'[{host}]' if ':' in host else host}:{chosen}", flush=True)
        await server.serve_forever()

    run(verb)


async def _serve(
    session: Session, rules: Filter, prefix: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    method, target, _ = [*first.split(" "), "", ""][:3]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    host = next((value for name, value in headers if name == "host"), "")
    path = unquote(target.partition("?")[0])
    if not path.startswith(f"{prefix}/"):
        return _answer(writer, 404, "Not Found", "404 page not found\n")
    if not rules.allows(method, path.removeprefix(prefix), host):
        return _answer(writer, 403, "Forbidden", "Forbidden\n")
    passed = [(name, value) for name, value in headers if name not in _DROPPED]
    upgrade = [("upgrade", value) for name, value in headers if name == "upgrade"]
    passed += [("connection", "upgrade"), *upgrade] if upgrade else [("connection", "close")]
    other, other_out = await raw.connect(session)
    try:
        other_out.write(raw.head(session, method, target[len(prefix) :], passed))
        up, down = asyncio.ensure_future(_pass(reader, other_out)), asyncio.ensure_future(_pass(other, writer))
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        for task in (up, down):
            task.cancel()
        await asyncio.gather(up, down, return_exceptions=True)
    finally:
        other_out.close()
        with contextlib.suppress(OSError):
            await writer.drain()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()


def _answer(writer: asyncio.StreamWriter, code: int, reason: str, text: str) -> None:
    head = f"HTTP/1.1 {code} {reason}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {len(text)}\r\n"
    writer.write(f"{head}connection: close\r\n\r\n{text}".encode())
