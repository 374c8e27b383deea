"""Graceful node shutdown: when the machine is about to shut down, the node takes no more pods, says so, and ends those
it has by priority before it lets the machine go on.

Source: KEP-2000, KEP-2712, pkg/kubelet/nodeshutdown/nodeshutdown_manager_linux.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from api.meta import Obj
from client import log
from client.backoff import Backoff
from client.clock import Clock
from client.events import EventRecorder
from kubelet.configuration import Configuration
from kubelet.docker.observer import Observer
from kubelet.node.shutdown_plan import Group, grace, groups, periods
from kubelet.pods.admission import Rejection
from kubelet.pods.model import Ending, is_terminal

if TYPE_CHECKING:
    from kubelet.node.logind import Logind

_log = log.get("shutdown")
MESSAGE = "Pod was terminated in response to imminent node shutdown."
_CONDITION: Obj = {
    "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": MESSAGE,
}  # fmt: skip
_LOOK_SECONDS = 0.25
"""Between looks at pods that end: only while the machine waits for us."""


class Pods(Protocol):
    def all(self) -> list[Obj]: ...

    def end(self, uid: str, ending: Ending) -> bool: ...


class Shutdown:
    def __init__(
        self,
        pods: Pods,
        observer: Observer,
        told: Callable[[str], Awaitable[None]],
        recorder: EventRecorder,
        node: Obj,
        configuration: Configuration,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        """`told(uid)` waits until the apiserver knows a pod's status; `changed` is called when `coming` has changed."""
        self._pods, self._observer, self._told = pods, observer, told
        self._recorder, self._node, self._clock, self._changed = recorder, node, clock, changed
        self._periods = periods(configuration)
        self.coming = False
        """The machine is about to shut down."""

    def refused(self) -> Rejection | None:
        if not self.coming:
            return None
        return Rejection("NodeShutdown", "Pod was rejected as the node is shutting down.")

    async def run(self) -> None:
        """Until cancelled; at once where nothing is to be waited for."""
        if not self._periods:
            return
        # Not above: the D-Bus library takes 4 MB, and few nodes are told to wait.
        from kubelet.node.logind import Logind, LogindError  # noqa: PLC0415

        pause = Backoff(1.0, 60.0)
        while True:
            try:
                async with Logind.connected() as logind:
                    await self._take_part(logind, pause)
            except LogindError as error:
                _log.warning("this machine's shutdown does not wait for pods", why=str(error))
            await self._clock.sleep(pause.delay())

    async def _take_part(self, logind: Logind, pause: Backoff) -> None:
        wanted = sum(period.seconds for period in self._periods)
        await logind.wait_for_us(wanted)
        await logind.inhibit()
        pause.reset()
        _log.info("shutdown of this machine waits for pods", seconds=wanted)
        async for coming in logind.shutdowns():
            text = "Shutdown manager detected shutdown " + ("event" if coming else "cancellation")
            self._recorder.event(self._node, "Normal", "NodeShutdown", text)
            self.coming = coming
            self._changed()
            if coming:
                await self._end_pods()
                logind.release()
            else:
                await logind.inhibit()

    async def _end_pods(self) -> None:
        for group in groups(self._periods, [pod for pod in self._pods.all() if not is_terminal(pod)]):
            _log.info("ending pods", priority=group.period.priority, pods=len(group.pods))
            for pod in group.pods:
                ending = Ending("Terminated", MESSAGE, grace(group.period, pod), _CONDITION)
                self._pods.end(pod["metadata"]["uid"], ending)
            try:
                async with asyncio.timeout(group.period.seconds):
                    await self._until_ended(group)
            except TimeoutError:
                _log.warning("pods have not ended in time", priority=group.period.priority)

    async def _until_ended(self, group: Group) -> None:
        uids = [pod["metadata"]["uid"] for pod in group.pods]
        while any(self._observer.of_pod(uid).running() for uid in uids) or self._unfinished(set(uids)):
            await self._clock.sleep(_LOOK_SECONDS)
        await asyncio.gather(*(self._told(uid) for uid in uids))

    def _unfinished(self, uids: set[str]) -> bool:
        return any(pod["metadata"]["uid"] in uids and not is_terminal(pod) for pod in self._pods.all())
