"""The stops of one pod's containers that are under way, each a task beside the pod's worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from api.meta import Obj
from client import log
from client.clock import Clock
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods.runner import Runner
from kubelet.pods.sync.plan import Kill, Memory

_log = log.get("worker")
_RETRY_SECONDS = 2.0


class Kills:
    def __init__(
        self, runner: Runner, observer: Observer, memory: Memory, clock: Clock, ended: Callable[[], None]
    ) -> None:
        """`memory` is told when each is due; `ended` is called after every one."""
        self._runner, self._observer, self._memory, self._clock = runner, observer, memory, clock
        self._ended = ended
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, pod: Obj, kill: Kill) -> None:
        """One that is under way for the same container gives way."""
        container_id = kill.container.id
        earlier = self._tasks.pop(container_id, None)
        if earlier is not None:
            earlier.cancel()
        self._memory.kills[container_id] = self._clock.now() + timedelta(seconds=kill.grace)
        task = asyncio.create_task(self._run(pod, kill), name=f"stop {kill.container.name}")
        self._tasks[container_id] = task
        task.add_done_callback(lambda done: self._done(container_id, done))

    async def _run(self, pod: Obj, kill: Kill) -> None:
        deadline = self._clock.monotonic() + kill.grace
        for container_id in kill.after:
            await self._observer.wait_exited(container_id, deadline - self._clock.monotonic())
        left = max(0, int(deadline - self._clock.monotonic()))
        try:
            await self._runner.stop(pod, kill.container, left, kill.message, kill.hook)
        except RuntimeFailure as error:
            name = pod["metadata"]["name"]
            _log.warning("stop failed", pod=name, container=kill.container.name, why=str(error))
            await self._clock.sleep(_RETRY_SECONDS)

    def _done(self, container_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(container_id) is task:
            del self._tasks[container_id]
            self._memory.kills.pop(container_id, None)
            self._ended()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
