"""A daemon's health over plain HTTP on loopback: /healthz (alive), /readyz (fit for work, with each failing
check named), /metrics (Prometheus text). Nothing else, and no framework: it is idle most of its life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from client import metrics

Check = Callable[[], bool]
_HOST = "127.0.0.1"


class Health:
    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def failing(self) -> list[str]:
        return [name for name, check in self._checks.items() if not check()]

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """(status, content type, body)"""
        plain = "text/plain; charset=utf-8"
        match path.partition("?")[0]:
            case "/healthz" | "/livez":
                return 200, plain, b"ok"
            case "/readyz":
                failing = self.failing()
                body = "".join(f"[{'-' if n in failing else '+'}]{n}\n" for n in self._checks)
                return (500, plain, f"{body}readyz check failed\n".encode()) if failing else (200, plain, b"ok")
            case "/metrics":
                return 200, "text/plain; version=0.0.4; charset=utf-8", metrics.text()
        return 404, plain, b"404 page not found\n"

    async def serve(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._talk, _HOST, port)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            path = head.split(b" ", 2)[1].decode()
            status, kind, body = self.answer(path)
            reason = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}[status]
            writer.write(
                f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError,
                ConnectionError, UnicodeDecodeError):  # fmt: skip
            return  # whoever asked has gone, or does not speak HTTP
        finally:
            writer.close()
