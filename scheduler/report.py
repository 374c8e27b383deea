"""Tells people why a pod has no node: its PodScheduled condition and a FailedScheduling event.

Only the latest news of a pod is written, again and again while the apiserver is away; the loop never waits.
"""

from __future__ import annotations

from contextlib import suppress

from api import meta
from api.builtin import PODS
from api.errors import NotFound
from api.meta import Obj
from client.clock import Clock
from client.events import EventRecorder
from client.http import ApiClient
from client.reconciler import Reconciler
from scheduler.pod import Pod

_GATED = "Scheduling is blocked due to non-empty scheduling gates"


class Reporter:
    def __init__(self, client: ApiClient, events: EventRecorder, clock: Clock) -> None:
        self._client, self._events, self._clock = client, events, clock
        self._news: dict[str, tuple[Pod, Obj]] = {}
        self._writer = Reconciler("pod-scheduled", self._write, clock=clock, workers=4)

    async def run(self) -> None:
        await self._writer.run()

    def unschedulable(self, pod: Pod, message: str) -> None:
        self._events.event(pod.obj, "Warning", "FailedScheduling", message)
        self._condition(pod, "Unschedulable", message)

    def failed(self, pod: Pod, message: str) -> None:
        """A node was found, but the scheduler could not do its work."""
        self._events.event(pod.obj, "Warning", "FailedScheduling", message)
        self._condition(pod, "SchedulerError", message)

    def gated(self, pod: Pod) -> None:
        self._condition(pod, "SchedulingGated", _GATED)

    def _condition(self, pod: Pod, reason: str, message: str) -> None:
        condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        known = meta.get_condition(pod.obj, "PodScheduled")
        if known is not None and all(known.get(k) == v for k, v in condition.items()):
            self._news.pop(pod.uid, None)
            return
        if known is None or known.get("status") != "False":
            condition["lastTransitionTime"] = meta.rfc3339(self._clock.now())
        self._news[pod.uid] = (pod, condition)
        self._writer.queue.add(pod.uid)

    async def _write(self, uid: str) -> None:
        news = self._news.get(uid)
        if news is None:
            return
        pod, condition = news
        patch = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
        with suppress(NotFound):  # it was deleted meanwhile: nobody is left to tell
            await self._client.patch(
                PODS, pod.name, patch, namespace=pod.namespace, kind="strategic", subresource="status"
            )
        if self._news.get(uid) is news:
            del self._news[uid]
