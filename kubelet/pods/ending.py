"""How one container is stopped: preStop hook, its turn, the stop signal, SIGKILL.

All of it within the grace period, which may be cut short on the way and is at least two seconds for the signal. The
hook is run once, however often the grace is cut. Rules: kuberuntime_container.go, killContainer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from api.meta import Obj
from client import log
from client.clock import Clock
from client.events import EventRecorder
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime
from kubelet.pods.model import Container, field_path
from kubelet.probing.hooks import Hooks

_log = log.get("ending")
_LEAST_GRACE = 2
_KILL_SECONDS = 30.0

Turn = Callable[[], Awaitable[None]]
"""Waits until a container may be told to stop: sidecars go after those they serve."""


class Endings:
    """What all stops share."""

    def __init__(
        self, runtime: DockerRuntime, observer: Observer, hooks: Hooks, recorder: EventRecorder, clock: Clock
    ) -> None:
        self.runtime, self.observer, self.hooks, self.recorder, self.clock = runtime, observer, hooks, recorder, clock


class Stop:
    """One container on its way out. `shorten` may be called while `run` is under way."""

    def __init__(
        self,
        shared: Endings,
        pod: Obj,
        container: Container,
        grace: float,
        message: str = "",
        *,
        at_once: bool = False,
        turn: Turn | None = None,
    ) -> None:
        """`at_once`: its sandbox is dead, there is nothing left to be graceful with."""
        self._shared, self._pod, self._container = shared, pod, container
        self._message, self._at_once, self._turn = message, at_once, turn
        self._moved = asyncio.Event()
        self._begun = self._signalled = False
        self._grace = grace
        self._deadline = shared.clock.monotonic() + grace

    def shorten(self, grace: float) -> None:
        """At most so many seconds from now."""
        least = _LEAST_GRACE if self._signalled else 0
        self._deadline = min(self._deadline, self._shared.clock.monotonic() + max(grace, least))
        self._moved.set()

    async def run(self) -> None:
        """Until it has ended. RuntimeFailure when Docker does not do it: then run it again, what is done is done."""
        shared, container = self._shared, self._container
        exited = asyncio.create_task(shared.observer.wait_exited(container.id))
        hook = asyncio.create_task(self._begin())
        try:
            if self._at_once or not await self._gracefully(exited, hook):
                await shared.runtime.kill(container.id, "SIGKILL")
                self._deadline = shared.clock.monotonic() + _KILL_SECONDS
                if not await self._within(exited):
                    await shared.observer.refresh(container.id)
            if not hook.done():  # a command of the hook has ended with the container: let it say so
                self._deadline = shared.clock.monotonic() + _LEAST_GRACE
                await self._within(hook)
        finally:
            for task in (exited, hook):
                task.cancel()
            await asyncio.gather(exited, hook, return_exceptions=True)

    async def _gracefully(self, exited: asyncio.Task[bool], hook: asyncio.Task[None]) -> bool:
        """True when it has ended."""
        await self._within(hook, exited)
        if self._turn is not None and not exited.done():
            turn = asyncio.ensure_future(self._turn())
            try:
                await self._within(turn, exited)
            finally:
                turn.cancel()
        if exited.done():
            return True
        self._signalled = True
        await self._shared.runtime.kill(self._container.id, self._container.stop_signal)
        self._deadline = max(self._deadline, self._shared.clock.monotonic() + _LEAST_GRACE)
        return await self._within(exited)

    async def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        container = self._container
        text, path = self._message or f"Stopping container {container.name}", field_path(self._pod, container.name)
        self._shared.recorder.event(self._pod, "Normal", "Killing", text, field_path=path)
        if not self._at_once and self._grace > 0:
            try:
                await self._shared.hooks.run("PreStop", self._pod, container)
            except Exception:  # an odd answer to a hook must not keep its container: it is logged
                _log.exception("preStop hook broke", container=container.name)

    async def _within(self, *ends: asyncio.Future[Any]) -> bool:
        """Until one of them is done: True; or the grace is over."""
        clock = self._shared.clock
        while not any(end.done() for end in ends):
            left = self._deadline - clock.monotonic()
            if left <= 0:
                return False
            self._moved.clear()
            timer = clock.call_later(left, self._moved.set)
            moved = asyncio.create_task(self._moved.wait())
            try:
                await asyncio.wait((*ends, moved), return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                moved.cancel()
        return True
