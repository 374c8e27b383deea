"""exec and attach: a command's streams joined with the client's, until either ends; then the outcome is told.

Reading from Docker waits until the client has taken what was sent, so a slow client slows the command and nothing
piles up here; a command that does not read its input slows the client.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from api.errors import ApiError, BadRequest, InternalError
from client import log
from kubelet.docker.runtime import RuntimeFailure
from kubelet.docker.streams import Stream
from kubelet.server.streaming.channels import DIALECTS, ERROR, RESIZE, STDERR, STDIN, STDOUT, dialect
from kubelet.server.streaming.clients import STREAM_PROTOCOLS, Client, SpdyClient, Status, WebSocketClient
from kubelet.server.streaming.pipe import Idle, agree, hung_up, take_over, wants_spdy, websocket

_log = log.get("remote-command")

Resize = Callable[[int, int], Awaitable[None]]
_LONGEST_SIZE = 4096


class Command:
    """Something with streams, in a container. `open` begins it; ApiError or RuntimeFailure says why not."""

    def __init__(
        self,
        open_stream: Callable[[], Awaitable[Stream]],
        *,
        tty: bool,
        stdin: bool,
        resize: Resize,
        exit_code: Callable[[], Awaitable[int | None]],
        hang_up: Callable[[], Awaitable[None]],
        doing: str,
        idle: float,
    ) -> None:
        """`idle`: the most seconds in which neither side may say anything."""
        self.open, self.tty, self.stdin, self.resize = open_stream, tty, stdin, resize
        self.exit_code, self.hang_up, self.doing = exit_code, hang_up, doing
        self.idle = Idle(idle)


async def serve(request: web.Request, find: Callable[[], Awaitable[Command]]) -> web.StreamResponse:
    """Join the client, whatever it speaks, with the command that `find` comes up with."""
    spdy = wants_spdy(request)
    try:
        command = await find()
        stream = await command.open()
    except (ApiError, RuntimeFailure) as error:
        if spdy or "v5.channel.k8s.io" not in request.headers.get("Sec-WebSocket-Protocol", ""):
            raise
        return await _refused(request, error)
    try:
        return await (_over_spdy if spdy else _over_websocket)(request, command, stream)
    finally:
        stream.close()


async def _over_spdy(request: web.Request, command: Command, stream: Stream) -> web.StreamResponse:
    protocol = agree(request, STREAM_PROTOCOLS)
    pipe, response = await take_over(request, protocol)
    wanted = {ERROR: True, STDIN: command.stdin, STDOUT: True, STDERR: not command.tty, RESIZE: command.tty}
    if protocol not in STREAM_PROTOCOLS[:2]:
        wanted[RESIZE] = False
    client = SpdyClient(pipe, frozenset(c for c in wanted if wanted[c]), protocol == STREAM_PROTOCOLS[0])
    try:
        await client.opened()
    except ApiError as error:
        _log.info("no command", why=error.message)
        await pipe.close()
    else:
        await join(request, client, stream, command)
    return response


async def _over_websocket(request: web.Request, command: Command, stream: Stream) -> web.StreamResponse:
    socket = await websocket(request, tuple(DIALECTS))
    client = WebSocketClient(socket, dialect(socket.ws_protocol))
    await client.send(STDOUT, b"")  # tells the client that the connection stands
    await join(request, client, stream, command)
    return socket


async def _refused(request: web.Request, error: ApiError | RuntimeFailure) -> web.StreamResponse:
    """Who speaks v5 is told on the error channel, as when upstream's apiserver translates for the kubelet."""
    socket = await websocket(request, tuple(DIALECTS))
    failure = InternalError(f"Internal error occurred: unable to upgrade connection: {error}")
    await WebSocketClient(socket, dialect(socket.ws_protocol)).finish(failure.status())
    return socket


async def join(request: web.Request, client: Client, stream: Stream, command: Command) -> None:
    """Until the command or the client has ended. Closes the client; the stream is its owner's to close."""
    reading = asyncio.create_task(_from_client(client, stream, command))
    writing = asyncio.create_task(_to_client(client, stream, command))
    gone = asyncio.create_task(hung_up(request))
    idle = asyncio.create_task(command.idle.passed())
    others = (reading, gone, idle)
    try:
        await asyncio.wait({writing, *others}, return_when=asyncio.FIRST_COMPLETED)
        if writing.done() and writing.exception() is None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await client.finish(await _outcome(command))
        else:
            writing.cancel()
            await command.hang_up()
            silent = f"Internal error occurred: {command.doing}: nothing was said for {command.idle.seconds:g} s"
            await client.finish(InternalError(silent).status() if idle.done() else None)
    except OSError as error:
        _log.debug("the client has gone", why=str(error))
    finally:
        for task in (writing, *others):
            task.cancel()
        for failure in await asyncio.gather(writing, *others, return_exceptions=True):
            if isinstance(failure, Exception) and not isinstance(failure, OSError):
                _log.error("a stream broke", why=repr(failure))


async def _to_client(client: Client, stream: Stream, command: Command) -> None:
    async for channel, data in stream.raw() if command.tty else stream.frames():
        command.idle.touch()
        await client.send(channel, data)


async def _from_client(client: Client, stream: Stream, command: Command) -> None:
    """Ends when the client closes the connection."""
    sizes = ""
    async for channel, data in client.messages():
        command.idle.touch()
        try:
            if channel == STDIN and command.stdin:
                if data:
                    await stream.write(data)
                else:
                    stream.end_input()
            elif channel == RESIZE and command.tty:
                found, sizes = parse_sizes(sizes + data.decode(errors="replace"))
                for width, height in found[-1:]:  # only the last matters
                    await command.resize(width, height)
        except (OSError, RuntimeFailure) as error:
            # The command has ended, or the size came too early or too late: its output still counts.
            _log.debug("message not delivered", channel=channel, why=str(error))


def parse_sizes(text: str) -> tuple[list[tuple[int, int]], str]:
    """Terminal sizes out of JSON objects one after the other, and what is left of one that is not whole yet."""
    found: list[tuple[int, int]] = []
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        try:
            size, end = decoder.raw_decode(text)
        except ValueError:
            return found, text if len(text) < _LONGEST_SIZE and text.startswith("{") else ""
        text = text[end:]
        match size:
            case {"Width": int(width), "Height": int(height)}:
                found.append((width, height))
    return found, ""


async def _outcome(command: Command) -> Status:
    try:
        return outcome(await command.exit_code())
    except RuntimeFailure as error:
        return InternalError(f"Internal error occurred: error {command.doing}: {error}").status()


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


def must_have_command(command: list[str]) -> None:
    if not command:
        raise BadRequest("you must specify at least 1 command for the container")
