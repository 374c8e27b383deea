"""The remote command protocol: v5.channel.k8s.io (and v4) over a WebSocket.

Every binary message is one byte naming the channel, then data. Source: KEP-4006 and
k8s.io/apimachinery/pkg/util/remotecommand.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from api.errors import ApiError, InternalError, ServiceUnavailable, from_status
from api.meta import Obj
from kubectl.failures import CliError
from kubectl.session import Session, say

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_V5, _V4 = Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io")
_CHUNK = 32 * 1024


def exit_code(status: Obj) -> int:
    """What the last message of the error channel says: 0, the command's code, or CliError for the rest."""
    if status.get("status") == "Success":
        return 0
    if status.get("reason") == "NonZeroExitCode":
        for cause in (status.get("details") or {}).get("causes") or []:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
    raise CliError(str(status.get("message") or "the remote command failed"))


async def remote(
    session: Session,
    path: str,
    params: dict[str, Any],
    *,
    stdin: bool,
    tty: bool,
    source: BinaryIO | None = None,
    sink: BinaryIO | None = None,
) -> int:
    """Connect, relay until the command ends, and return its exit code. `source` and `sink` stand in for stdin and
    stdout."""
    query = urlencode(params, doseq=True)
    url = f"{session.config.server.replace('http', 'ws', 1)}{path}?{query}"
    headers = {"Authorization": f"Bearer {session.config.token}"} if session.config.token else {}
    try:
        async with connect(
            url,
            ssl=session.config.ssl_context(),
            server_hostname=session.config.tls_server_name or None,
            additional_headers=headers,
            subprotocols=[_V5, _V4],
            max_size=None,
            compression=None,
            proxy=None,
        ) as socket:
            with raw_terminal(tty and stdin):
                return await _relay(socket, source or (sys.stdin.buffer if stdin else None), sink, tty=tty)
    except InvalidStatus as error:
        raise _refused(error) from error
    except (OSError, WebSocketException) as error:
        raise ServiceUnavailable(f"no connection to {session.host}: {error}") from error


def _refused(error: InvalidStatus) -> ApiError:
    body = error.response.body or b""
    try:
        status = json.loads(body)
    except ValueError:
        status = {"message": body.decode(errors="replace").strip()}
    return from_status(status if isinstance(status, dict) else {}, error.response.status_code)


async def _relay(socket: ClientConnection, source: BinaryIO | None, sink: BinaryIO | None, *, tty: bool) -> int:
    tasks = []
    if source is not None:
        tasks.append(asyncio.create_task(_send_stdin(socket, source)))
    if tty and sys.stdout.isatty():
        tasks.append(asyncio.create_task(_send_sizes(socket)))
    try:
        return await _receive(socket, sink or sys.stdout.buffer)
    finally:
        for task in tasks:
            task.cancel()


async def _receive(socket: ClientConnection, sink: BinaryIO) -> int:
    try:
        async for message in socket:
            if not isinstance(message, bytes) or not message:
                continue
            channel, data = message[0], message[1:]
            if channel in (STDOUT, STDERR):
                out = sink if channel == STDOUT else sys.stderr.buffer
                out.write(data)
                out.flush()
            elif channel == ERROR and data:
                return exit_code(json.loads(data))
    except ConnectionClosed as error:
        raise InternalError(f"the stream ended before the command did: {error}") from error
    return 0


async def _send_stdin(socket: ClientConnection, source: BinaryIO) -> None:
    """Until its end, which v5 can tell the other side."""
    chunks = _read_stdin(asyncio.get_running_loop(), source)
    while data := await chunks.get():
        await socket.send(bytes([STDIN]) + data)
    if socket.subprotocol == _V5:
        await socket.send(bytes([CLOSE, STDIN]))


def _read_stdin(loop: asyncio.AbstractEventLoop, source: BinaryIO) -> asyncio.Queue[bytes]:
    """A thread reads, since a file or /dev/null cannot be waited for; it dies with the process. b"" is the end."""
    chunks: asyncio.Queue[bytes] = asyncio.Queue(4)

    def read() -> None:
        data = b"-"
        while data:
            data = os.read(source.fileno(), _CHUNK)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
                asyncio.run_coroutine_threadsafe(_put(chunks, data), loop).result()

    threading.Thread(target=read, daemon=True).start()
    return chunks


async def _put(chunks: asyncio.Queue[bytes], data: bytes) -> None:
    await chunks.put(data)


async def _send_sizes(socket: ClientConnection) -> None:
    """The terminal's size now and whenever it changes."""
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            columns, rows = terminal_size()
            await socket.send(bytes([RESIZE]) + json.dumps({"Width": columns, "Height": rows}).encode())
            await changed.wait()
            changed.clear()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def terminal_size() -> tuple[int, int]:
    packed = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
    rows, columns, _, _ = struct.unpack("HHHH", packed)
    return columns, rows


@contextlib.contextmanager
def raw_terminal(wanted: bool) -> Iterator[None]:
    """Keys go to the other side as they are pressed; the terminal is put back whatever happens."""
    if not wanted or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def want_terminal(tty_asked: bool, stdin: bool) -> bool:
    """-t without a terminal on stdin: said, and done without."""
    if tty_asked and stdin and not sys.stdin.isatty():
        say("Unable to use a TTY - input is not a terminal or the right kind of file")
        return False
    return tty_asked
