"""Requests to an apiserver on loopback, as many a second as asked: `python -m tests.harness.flood` (see `main`).

Each connection has one request under way and does not look at answers, but counts their codes; what a connection was
too slow to send in its turn it makes up for. Prints the counts as JSON when the time is over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path

import uvloop

ROOT = Path(__file__).parents[2]


class Flood:
    """A generator in a process of its own."""

    def __init__(
        self, port: int, ca: str, token: str, method: str, path: str, *, body: str = "", connections: int, rate: int,
        seconds: float, fresh: bool = False,
    ) -> None:  # fmt: skip
        self._process = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.harness.flood",
                "--port", str(port), "--ca", ca, "--token", token, "--method", method, "--path", path,
                "--body", body, "--connections", str(connections), "--rate", str(rate), "--seconds", str(seconds),
                *(["--fresh"] if fresh else []),
            ],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def result(self) -> Counter[str]:
        """Answers by code. Waits for the end."""
        out, _ = self._process.communicate(timeout=120)
        assert self._process.returncode == 0, out
        return Counter(json.loads(out))

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


async def _connection(
    arguments: argparse.Namespace, context: ssl.SSLContext, data: bytes, number: int, codes: Counter[str]
) -> None:
    loop = asyncio.get_running_loop()
    pause = arguments.connections / arguments.rate
    end = loop.time() + arguments.seconds
    reader, writer = await asyncio.open_connection("127.0.0.1", arguments.port, ssl=context)
    begun = 0
    due = loop.time() + pause * number / arguments.connections
    while (now := loop.time()) < end:
        if due > now:
            await asyncio.sleep(due - now)
        due += pause
        if arguments.fresh and begun:
            writer.transport.abort()
            reader, writer = await asyncio.open_connection("127.0.0.1", arguments.port, ssl=context)
        begun += 1
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        codes[head[9:12].decode()] += 1
        lower = head.lower()
        if b"transfer-encoding" in lower:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            await reader.readexactly(int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()


async def _run(arguments: argparse.Namespace) -> Counter[str]:
    context = ssl.create_default_context(cafile=arguments.ca)
    body = arguments.body.encode()
    data = (
        f"{arguments.method} {arguments.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {arguments.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    codes: Counter[str] = Counter()
    await asyncio.gather(*(_connection(arguments, context, data, n, codes) for n in range(arguments.connections)))
    return codes


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("port", "connections", "rate"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    for name in ("ca", "token", "method", "path"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--body", default="")
    parser.add_argument("--fresh", action="store_true", help="a connection for each request")
    print(json.dumps(uvloop.run(_run(parser.parse_args()))))


if __name__ == "__main__":
    main()
