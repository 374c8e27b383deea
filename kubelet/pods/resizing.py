"""What the node has granted one pod of cpu and memory: kept on disk from before containers are told of it until the pod
is gone, so that a kubelet that starts again neither takes back what was granted nor grants unasked what is wanted.

A pod that was never resized needs no file: what its containers were made with stands in their labels.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from api.meta import Obj, get_condition
from client.events import EventRecorder
from client.files import write_atomically
from kubelet.pods import resize_plan
from kubelet.pods.model import PodContainers
from kubelet.pods.resize_plan import DEFERRED, IN_PROGRESS, INFEASIBLE, PENDING, Granted, Resize

_FILE = "granted.json"
Judge = Callable[[Obj], tuple[str, str]]


class Resizing:
    def __init__(self, state: Resize, judge: Judge, recorder: EventRecorder, directory: Path) -> None:
        self._state, self._judge, self._recorder, self._directory = state, judge, recorder, directory
        self.granted: Granted | None = None
        self._view: tuple[Obj, Granted | None, Obj] | None = None

    @property
    def is_deferred(self) -> bool:
        return (self._state.pending or {}).get("reason") == DEFERRED

    def view(self, pod: Obj) -> Obj:
        """The pod as granted."""
        if self.granted is None:
            return pod
        known = self._view
        if known is None or known[0] is not pod or known[1] is not self.granted:
            known = self._view = (pod, self.granted, resize_plan.as_granted(pod, self.granted))
        return known[2]

    async def resume(self, pod: Obj, observed: PodContainers) -> None:
        """Of a pod that an earlier kubelet has begun with."""
        kept = await asyncio.to_thread(_kept, self._directory / _FILE)
        self.granted = {**resize_plan.remembered(pod, observed), **kept}
        for type_, field in ((PENDING, "pending"), (IN_PROGRESS, "progress")):
            told = get_condition(pod, type_)
            if told is not None:
                keys = ("type", "status", "reason", "message", "observedGeneration")
                setattr(self._state, field, {k: told[k] for k in keys if k in told})

    async def consider(self, pod: Obj) -> bool:
        """Grant what the pod wants if the node can. True when something was granted."""
        state, generation = self._state, pod["metadata"].get("generation")
        if self.granted is None:
            self.granted = resize_plan.wanted(pod)
        if self.view(pod) is pod:
            state.pending = None
            return False
        reason, message = self._judge(pod)
        if reason:
            self._hold_back(pod, reason, message)
            return False
        # Granted from this moment on: whoever is judged while it is written counts it.
        before, self.granted = self.granted, resize_plan.wanted(pod)
        try:
            await asyncio.to_thread(write_atomically, self._directory / _FILE, json.dumps(self.granted).encode())
        except OSError as error:
            self.granted = before
            self._hold_back(pod, DEFERRED, f"the node cannot keep what it grants: {error.strerror}")
            return False
        state.pending, state.retry_at = None, None
        state.progress = resize_plan.condition(IN_PROGRESS, generation)
        self._recorder.event(pod, "Normal", "ResizeStarted", resize_plan.summary("started", pod, generation))
        return True

    def _hold_back(self, pod: Obj, reason: str, message: str) -> None:
        generation = pod["metadata"].get("generation")
        told = resize_plan.condition(PENDING, generation, reason, message)
        if told != self._state.pending:
            self._state.pending = told
            event = "ResizeInfeasible" if reason == INFEASIBLE else "ResizeDeferred"
            self._recorder.event(pod, "Warning", event, resize_plan.summary(reason, pod, generation, message))

    def settle(self, pod: Obj, observed: PodContainers) -> None:
        """Tell when all containers have what was granted. `pod` is as granted."""
        state = self._state
        if self.granted is None:
            return
        if resize_plan.in_progress(pod, observed):
            if state.progress is None:
                state.progress = resize_plan.condition(IN_PROGRESS, pod["metadata"].get("generation"))
        elif state.progress is not None:
            generation = state.progress.get("observedGeneration")
            state.progress, state.retry_at = None, None
            self._recorder.event(pod, "Normal", "ResizeCompleted", resize_plan.summary("completed", pod, generation))

    def failed(self, pod: Obj, why: str) -> None:
        """Docker, or what the container uses, does not allow it now."""
        generation = (self._state.progress or {}).get("observedGeneration", pod["metadata"].get("generation"))
        told = resize_plan.condition(IN_PROGRESS, generation, "Error", why)
        if told != self._state.progress:
            self._state.progress = told
            text = resize_plan.summary("error", pod, generation, why)
            self._recorder.event(pod, "Warning", "ResizeError", text)


def _kept(path: Path) -> Granted:
    try:
        granted: Granted = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return granted
