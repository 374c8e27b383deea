"""Room for a critical pod: who has to go for it when the node is full.

    chosen(pod, others, lacking) -> [pods], or [] when no room can be made

Of the pods that may go for it, as few guaranteed ones as will do if all the others went, then as few burstable ones,
then as few that request nothing; in each class first those that come closest to what is still lacking.
Source: pkg/kubelet/preemption/preemption.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from api.meta import Obj
from client import log
from client.clock import Clock
from client.events import EventRecorder
from kubelet.pods.admission import Rejection, requested
from kubelet.pods.critical import is_critical, is_static, priority
from kubelet.pods.model import Ending, grace_period
from kubelet.pods.pods import Pods
from kubelet.pods.qos import qos_class

_log = log.get("preemption")
REASON, MESSAGE = "Preempting", "Preempted in order to admit critical pod"
_CONDITION: Obj = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "TerminationByKubelet",
    "message": "Pod was preempted by Kubelet to accommodate a critical pod.",
}
_LEAST_PATIENCE, _LOOK_SECONDS = 10.0, 0.1
_CLASSES = ("Guaranteed", "Burstable", "BestEffort")
Lacking = Mapping[str, int]


class Preemption:
    """Judges pods as `judge` does, once there is room for those that are critical."""

    def __init__(
        self, judge: Callable[[Obj], Rejection | None], pods: Pods, recorder: EventRecorder, clock: Clock
    ) -> None:
        self._judge, self._pods, self._recorder, self._clock = judge, pods, recorder, clock
        self._turn = asyncio.Lock()

    async def admit(self, pod: Obj) -> Rejection | None:
        rejection = self._judge(pod)
        if rejection is None or not rejection.lacking or not is_critical(pod):
            return rejection
        async with self._turn:
            while (rejection := self._judge(pod)) is not None and rejection.lacking:
                going = chosen(pod, self._pods.admitted(pod["metadata"]["uid"]), rejection.lacking)
                if not going or not await self._end(going):
                    break
            return rejection

    async def _end(self, going: Sequence[Obj]) -> bool:
        """True when they all have ended."""
        for pod in going:
            _log.info("pod makes room", pod=pod["metadata"]["name"], namespace=pod["metadata"]["namespace"])
            self._recorder.event(pod, "Warning", REASON, MESSAGE)
            self._pods.end(pod["metadata"]["uid"], Ending(REASON, MESSAGE, condition=_CONDITION))
        uids = {pod["metadata"]["uid"] for pod in going}
        patience = max(_LEAST_PATIENCE, 1.5 * max(grace_period(pod) for pod in going))
        deadline = self._clock.monotonic() + patience
        while self._clock.monotonic() < deadline:
            if uids.isdisjoint(pod["metadata"]["uid"] for pod in self._pods.admitted("")):
                return True
            await self._clock.sleep(_LOOK_SECONDS)
        return False


def chosen(pod: Obj, others: Iterable[Obj], lacking: Lacking) -> list[Obj]:
    """`lacking`: by resource, as `admission.requested` counts it. The first is to go first."""
    by_class: dict[str, list[Obj]] = {name: [] for name in _CLASSES}
    for other in others:
        if _goes_for(pod, other):
            by_class[qos_class(other)].append(other)
    going: dict[str, list[Obj]] = {}
    for index, name in enumerate(_CLASSES):
        lower = [other for below in _CLASSES[index + 1 :] for other in by_class[below]]
        higher = [other for above in going.values() for other in above]
        found = _closest(by_class[name], _without(lacking, [*lower, *higher]))
        if found is None:
            return []
        going[name] = found
    return [other for name in reversed(_CLASSES) for other in going[name]]


def _goes_for(pod: Obj, other: Obj) -> bool:
    """pkg/kubelet/types/pod_update.go, Preemptable."""
    if is_critical(pod) and not is_critical(other):
        return True
    return priority(pod) > priority(other) or (is_static(pod) and not is_static(other))


def _without(lacking: Lacking, gone: Iterable[Obj]) -> dict[str, int]:
    """What is lacking still."""
    left = dict(lacking)
    for other in gone:
        left = {name: amount - requested(other, name) for name, amount in left.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _closest(pods: Sequence[Obj], lacking: Lacking) -> list[Obj] | None:
    """None when all of them are not enough."""
    left, going = list(pods), list[Obj]()
    while lacking:
        if not left:
            return None
        best = min(left, key=lambda pod: (_distance(pod, lacking), requested(pod, "memory"), requested(pod, "cpu")))
        left.remove(best)
        going.append(best)
        lacking = _without(lacking, [best])
    return going


def _distance(pod: Obj, lacking: Lacking) -> float:
    """Of what would be lacking without the pod, each resource in shares of what is lacking now, squared."""
    return sum((max(0, amount - requested(pod, name)) / amount) ** 2 for name, amount in lacking.items())
