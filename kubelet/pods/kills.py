"""The stops of one pod's containers that are under way, each a task beside the pod's worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from api.meta import Obj
from client import log
from client.clock import Clock
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods.ending import Endings, Stop
from kubelet.pods.sync.plan import Kill, Memory

_log = log.get("worker")
_RETRY_SECONDS = 2.0


class Kills:
    def __init__(self, endings: Endings, memory: Memory, clock: Clock, ended: Callable[[], None]) -> None:
        """`memory` is told when each is due and whether it is renewed; `ended` is called after every one."""
        self._endings, self._memory, self._clock, self._ended = endings, memory, clock, ended
        self._stops: dict[str, Stop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, pod: Obj, kill: Kill) -> None:
        """One that is under way for the same container has less time from now on."""
        container_id = kill.container.id
        if kill.renew:
            self._memory.renewals.add(container_id)
        self._memory.kills[container_id] = self._clock.now() + timedelta(seconds=kill.grace)
        if container_id in self._stops:
            self._stops[container_id].shorten(kill.grace)
            return

        async def turn() -> None:
            for earlier in kill.after:
                await self._endings.observer.wait_exited(earlier)

        stop = Stop(
            self._endings, pod, kill.container, kill.grace, kill.message,
            at_once=not kill.hook, turn=turn if kill.after else None,
        )  # fmt: skip
        self._stops[container_id] = stop
        task = asyncio.create_task(self._run(pod, kill, stop), name=f"stop {kill.container.name}")
        self._tasks[container_id] = task
        task.add_done_callback(lambda done: self._done(container_id, done))

    async def _run(self, pod: Obj, kill: Kill, stop: Stop) -> None:
        while True:
            try:
                return await stop.run()
            except RuntimeFailure as error:
                name = pod["metadata"]["name"]
                _log.warning("stop failed", pod=name, container=kill.container.name, why=str(error))
            await self._clock.sleep(_RETRY_SECONDS)

    async def wait(self, container_id: str) -> None:
        """Until the stop of this container has ended, well or not."""
        task = self._tasks.get(container_id)
        if task is not None:
            await asyncio.wait((task,))

    def _done(self, container_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(container_id) is task:
            del self._tasks[container_id], self._stops[container_id]
            self._memory.kills.pop(container_id, None)
            self._ended()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
