"""exec and attach over a WebSocket, in the channels of v4.channel.k8s.io and v5.channel.k8s.io.

The first byte of each message is its channel: 0 stdin, 1 stdout, 2 stderr, 3 the outcome as a Status, 4 the
terminal's size; in v5, 255 says that the channel of its second byte is closed. Reading from Docker waits until
the client has taken what was sent, so a slow client slows the command and nothing piles up here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from client import log
from kubelet.docker_runtime import RuntimeFailure
from kubelet.docker_streams import Stream

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_log = log.get("remote-command")

Resize = Callable[[int, int], Awaitable[None]]
ExitCode = Callable[[], Awaitable[int | None]]


async def serve(
    request: web.Request, stream: Stream, *, tty: bool, stdin: bool, resize: Resize, exit_code: ExitCode
) -> web.WebSocketResponse:
    """Join the client and the stream until either ends; then tell the outcome. Closes both."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, compress=False, max_msg_size=0)
    try:
        await socket.prepare(request)
        # An empty message tells the client that the connection stands.
        await socket.send_bytes(bytes([STDOUT]))
        reading = asyncio.create_task(_from_client(socket, stream, stdin, resize))
        writing = asyncio.create_task(_to_client(socket, stream, tty))
        await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            # The client has gone. Closing the stream below ends what waits on its input.
            writing.cancel()
        else:
            await _tell_outcome(socket, writing, exit_code)
        reading.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)
        await socket.close()
    finally:
        stream.close()
    return socket


async def _to_client(socket: web.WebSocketResponse, stream: Stream, tty: bool) -> None:
    async for channel, data in stream.raw() if tty else stream.frames():
        await socket.send_bytes(bytes([channel]) + data)


async def _from_client(socket: web.WebSocketResponse, stream: Stream, stdin: bool, resize: Resize) -> None:
    """Ends when the client closes the connection."""
    async for message in socket:
        data = message.data.encode() if message.type == WSMsgType.TEXT else message.data
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or not data:
            continue
        channel, body = data[0], data[1:]
        try:
            if channel == STDIN and stdin:
                await stream.write(body)
            elif channel == CLOSE and body[:1] == bytes([STDIN]):
                stream.end_input()
            elif channel == RESIZE:
                size = json.loads(body)
                await resize(int(size.get("Width") or 0), int(size.get("Height") or 0))
        except (OSError, ValueError, RuntimeFailure) as error:
            # The command has ended, or the size came too early or too late: its output still counts.
            _log.debug("message not delivered", channel=channel, why=str(error))


async def _tell_outcome(socket: web.WebSocketResponse, writing: asyncio.Task[None], exit_code: ExitCode) -> None:
    if socket.closed or writing.exception() is not None:
        return
    try:
        status = outcome(await exit_code())
    except RuntimeFailure as error:
        status = {"metadata": {}, "status": "Failure", "message": str(error), "reason": "InternalError"}
        status["code"] = 500
    await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())


def outcome(code: int | None) -> dict[str, object]:
    """The Status that tells a command's exit code. None and 0 are success."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
