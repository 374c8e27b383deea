"""Commands run in containers without a terminal, for probes and hooks.

A command that has not ended in its time is killed in the container, with what it started: Docker itself would let it
run on for ever. Whoever is cancelled leaves a command behind that ends with its container.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass

from client import log
from client.backoff import Backoff
from client.clock import Clock
from kubelet.docker.exit_code import exit_code
from kubelet.docker.runtime import DockerRuntime, RuntimeFailure
from kubelet.docker.streams import STDERR, Stream

_log = log.get("probes")
_KEPT_BYTES = 10 * 1024
_KILL_TRIES = 6


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return (self.stdout + self.stderr)[:_KEPT_BYTES]


class Commands:
    def __init__(self, runtime: DockerRuntime, clock: Clock) -> None:
        self._runtime, self._clock = runtime, clock
        self._ends: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._ends:
            task.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)

    async def run(self, container_id: str, command: list[str], seconds: float | None = None) -> Finished:
        """TimeoutError when it has not ended `seconds` after it began, RuntimeFailure when Docker does not run it."""
        begun = asyncio.create_task(self._begin(container_id, command))
        late = False
        try:
            exec_id, stream = await asyncio.shield(begun)
            async with asyncio.timeout(seconds):
                kept = await _read(stream)
                code = await exit_code(self._runtime, self._clock, exec_id)
        except TimeoutError:
            late = True
            raise
        finally:
            if late or not begun.done():
                self._leave(begun, container_id, kill=late)
            elif begun.exception() is None:
                begun.result()[1].close()
        return Finished(code, kept[0].decode(errors="replace"), kept[1].decode(errors="replace"))

    async def _begin(self, container_id: str, command: list[str]) -> tuple[str, Stream]:
        exec_id = await self._runtime.exec_create(
            container_id, command, stdin=False, stdout=True, stderr=True, tty=False
        )
        return exec_id, await self._runtime.exec_start(exec_id, tty=False)

    def _leave(self, begun: asyncio.Task[tuple[str, Stream]], container_id: str, *, kill: bool) -> None:
        task = asyncio.create_task(self._end(begun, container_id, kill))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def _end(self, begun: asyncio.Task[tuple[str, Stream]], container_id: str, kill: bool) -> None:
        try:
            exec_id, stream = await begun
        except RuntimeFailure as error:
            _log.debug("a command that nobody waits for did not start", container=container_id, why=str(error))
            return
        with contextlib.closing(stream):
            pause = Backoff(0.05, 2.0, 2.0)
            for _ in range(_KILL_TRIES if kill else 0):
                try:
                    if await self._runtime.exec_signal(exec_id, container_id, signal.SIGKILL):
                        return
                except RuntimeFailure as error:
                    _log.debug("a command is not killed", container=container_id, why=str(error))
                await self._clock.sleep(pause.delay())


async def _read(stream: Stream) -> tuple[bytes, bytes]:
    """The beginning of what it says on stdout and stderr."""
    kept = (bytearray(), bytearray())
    async for channel, data in stream.frames():
        into = kept[channel == STDERR]
        into += data[: _KEPT_BYTES - len(into)]
    return bytes(kept[0]), bytes(kept[1])
