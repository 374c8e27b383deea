"""The scheduler's shell: events update the snapshot and the queue; the loop takes one pod after the other.

Events are always followed, so that a standby is ready; only `run`, for the leader, decides and writes. Between
taking a pod and deciding nothing else happens, so no event falls between snapshot and decision.
"""

from __future__ import annotations

import asyncio
from functools import partial

from api import meta
from api.builtin import (
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICES,
    STORAGE_CLASSES,
)
from api.errors import ApiError, Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from api.meta import Obj
from client import log, metrics
from client.clock import Clock
from client.events import EventRecorder
from client.http import ApiClient
from client.informer import Informers
from scheduler import cycle
from scheduler.binder import Binder
from scheduler.filters import volume_binding
from scheduler.pod import SCHEDULER_NAME, Pod, read, resizes
from scheduler.queue import Entry, Place, SchedulingQueue
from scheduler.report import Reporter
from scheduler.snapshot import Change, Snapshot
from scheduler.volume_binder import NotBound, VolumeBinder
from scheduler.volumes import Promise

_log = log.get("scheduler")
_FLUSH_EVERY = 30.0
# Nothing is wrong with the pod: somebody was faster, or the apiserver is away or busy.
_PASSING = (Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests)
# Pods that have ended take no room: the server need not even send them.
RUNNING = "status.phase!=Succeeded,status.phase!=Failed"


class Scheduler:
    def __init__(
        self, client: ApiClient, informers: Informers, events: EventRecorder, reporter: Reporter, clock: Clock
    ) -> None:
        self._informers, self._clock, self._reporter = informers, clock, reporter
        self.snapshot, self.queue = Snapshot(), SchedulingQueue()
        self._volumes = VolumeBinder(client, self.snapshot, clock)
        self._binder = Binder(client, events, self._binding_failed, self._volumes)
        self._wake = asyncio.Event()
        self._start = 0
        informers.of(NODES).on_event(self._on_node)
        informers.of(SERVICES).on_event(self._on_service)
        informers.of(NAMESPACES).on_event(self._on_namespace)
        for row, follow in (
            (STORAGE_CLASSES, self._on_class),
            (PERSISTENT_VOLUMES, self._on_volume),
            (PERSISTENT_VOLUME_CLAIMS, self._on_claim),
        ):
            informers.of(row).on_event(follow)
        informers.of(PODS, fields=RUNNING).on_event(self._on_pod)
        for place in Place:
            name = place.value.replace(" ", "_")
            metrics.gauge(f"sampan_scheduler_pods_{name}", partial(self.queue.count, place))

    async def run(self) -> None:
        """Assign pods until cancelled."""
        await self._informers.wait_synced()
        try:
            while True:
                now = self._clock.monotonic()
                entry = self.queue.pop(now)
                if entry is None:
                    self.queue.flush(now)
                    await self._rest(now)
                    continue
                self._try(entry)
                await asyncio.sleep(0)  # let bindings and events pass
        finally:
            await self._binder.stop()

    async def _rest(self, now: float) -> None:
        """Until an event, the end of a back-off, or the next flush."""
        due = self.queue.due()
        pause = _FLUSH_EVERY if due is None else min(max(due - now, 0.0), _FLUSH_EVERY)
        timer = self._clock.call_later(pause, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            self._wake.clear()
            timer.cancel()

    def _try(self, entry: Entry) -> None:
        pod = entry.pod
        try:
            decision = cycle.schedule(pod, self.snapshot, self._start)
        except Exception as error:  # one strange pod must not stop the queue
            _log.exception("scheduling failed", pod=pod.key)
            self.queue.failed(pod.uid, self._clock.monotonic())
            self._reporter.failed(pod, str(error))
            return
        self._start = decision.next_start
        if decision.node:
            promise = volume_binding.promise(pod, self.snapshot, decision.node) if pod.claims else None
            if promise is not None:
                self.snapshot.volumes.promise(promise)
            self.snapshot.place(pod, decision.node)
            self._binder.bind(pod, decision.node, promise)
            return
        metrics.count("sampan_scheduler_unschedulable")
        _log.debug("unschedulable", pod=pod.key, why=decision.message)
        self.queue.unschedulable(pod.uid, decision.blockers, self._clock.monotonic())
        self._reporter.unschedulable(pod, decision.message)

    def _binding_failed(self, pod: Pod, promise: Promise | None, error: ApiError | NotBound | None) -> None:
        """`error` is None when we stopped in the middle."""
        if promise is not None:
            self.snapshot.volumes.take_back(promise)
        self._free(pod.uid)
        self.queue.failed(pod.uid, self._clock.monotonic())
        self._wake.set()
        if isinstance(error, NotBound):
            self._reporter.failed(pod, f'running PreBind plugin "VolumeBinding": binding volumes: {error}')
        elif error is not None and not isinstance(error, _PASSING):
            self._reporter.failed(pod, f"binding rejected: {error.message}")

    # Events.

    def _on_node(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._changed(self.snapshot.set_node(new))
        elif old is not None:
            self.snapshot.remove_node(meta.name(old))

    def _on_service(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self.snapshot.relations.set_service(new)
        elif old is not None:
            self.snapshot.relations.remove_service(meta.namespace(old), meta.name(old))

    def _on_namespace(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self.snapshot.relations.set_namespace(new)
        elif old is not None:
            self.snapshot.relations.remove_namespace(meta.name(old))

    def _on_class(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self.snapshot.volumes.set_class(new)
            self._changed({Change.STORAGE})
        elif old is not None:
            self.snapshot.volumes.remove_class(meta.name(old))

    def _on_volume(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self.snapshot.volumes.set_volume(new)
            self._changed({Change.STORAGE})
        elif old is not None:
            self.snapshot.volumes.remove_volume(meta.name(old))
        self._volumes.changed()

    def _on_claim(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self.snapshot.volumes.set_claim(new)
            self._changed({Change.STORAGE})
        elif old is not None:
            self.snapshot.volumes.remove_claim(meta.key(old))
        self._volumes.changed()

    def _on_pod(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self.queue.remove(meta.uid(old))
            self._free(meta.uid(old))
        elif new["spec"].get("nodeName"):
            self._on_assigned(old, new)
        elif new["spec"].get("schedulerName", SCHEDULER_NAME) == SCHEDULER_NAME and not meta.is_deleting(new):
            self._on_waiting(new)
        else:
            self.queue.remove(meta.uid(new))

    def _on_assigned(self, old: Obj | None, new: Obj) -> None:
        if old is not None and old["spec"] == new["spec"] and meta.labels(old) == meta.labels(new) and (
            resizes(old) == resizes(new)
        ):  # fmt: skip
            return
        uid, node = meta.uid(new), str(new["spec"]["nodeName"])
        self.queue.remove(uid)
        if self.snapshot.node_of(uid) == node and old is not None and _same_but_bound(old, new):
            self._changed({Change.POD_PLACED})  # what we assumed has come true
            return
        pod = read(new)
        shrinks = old is not None and bool(old["spec"].get("nodeName"))  # resized in place
        self.snapshot.place(pod, pod.node)
        self._changed({Change.POD_REMOVED if shrinks else Change.POD_PLACED})

    def _on_waiting(self, new: Obj) -> None:
        pod = read(new)
        self.queue.put(pod, self._clock.monotonic())
        if pod.gated:
            self._reporter.gated(pod)
        self._wake.set()

    def _free(self, uid: str) -> None:
        if self.snapshot.forget(uid):
            self._volumes.changed()
            self._changed({Change.POD_REMOVED})

    def _changed(self, changes: set[Change]) -> None:
        if changes:
            self.queue.changed(changes, self._clock.monotonic())
            self._wake.set()


def _same_but_bound(old: Obj, new: Obj) -> bool:
    before, after = old["spec"], new["spec"]
    return (
        "nodeName" not in before
        and before.get("containers") == after.get("containers")
        and meta.labels(old) == meta.labels(new)
    )
