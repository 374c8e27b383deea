"""Which pods have a worker: those bound to this node, those of its own manifests, and those that only their containers
remember. A mirror has none: its static pod has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from api.meta import Obj, is_deleting, key
from client import log
from client.clock import Clock
from client.informer import Informer
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods.critical import is_static, mirrored_uid
from kubelet.pods.model import Ending, is_terminal
from kubelet.pods.orphans import orphan
from kubelet.pods.resize_plan import by_urgency
from kubelet.pods.shared import Shared
from kubelet.pods.workers import PodWorker
from kubelet.volumes.manager import Volumes

_log = log.get("pods")
_HOUSEKEEPING_SECONDS = 60.0
_MOMENT = 5.0


def by_uid(pod: Obj) -> list[str]:
    return [pod["metadata"]["uid"]]


class Pods:
    def __init__(self, informer: Informer, nodes: Informer, observer: Observer, volumes: Volumes, clock: Clock) -> None:
        self._informer, self._nodes, self._observer = informer, nodes, observer
        self._volumes, self._clock = volumes, clock
        self._workers: dict[str, PodWorker] = {}
        self._static: dict[str, Obj] = {}
        self.on_static: Callable[[], None] = lambda: None
        """Called when mirrors may have to be made or deleted."""
        self._shared: Shared | None = None
        self._active = self._working_on_static = False
        informer.add_indexer("uid", by_uid)
        informer.on_event(self._heard)

    def use(self, shared: Shared) -> None:
        self._shared = shared
        shared.room = self.retry_resizes

    @property
    def working(self) -> bool:
        """Both sides are known, what is wanted and what runs, and pods are looked after."""
        return self._active

    def stored(self, uid: str) -> Obj | None:
        """The informer's copy of a pod; of a static pod, its mirror. Anybody may write any uid into what he says is a
        mirror, so the name has to be right, too."""
        if uid in self._static:
            return self._mirror(self._static[uid])
        found = self._informer.store.by_index("uid", uid)
        return found[0] if found else None

    def _mirror(self, static: Obj) -> Obj | None:
        found = self._informer.store.get(key(static))
        if found is None or is_deleting(found) or mirrored_uid(found) != static["metadata"]["uid"]:
            return None
        return found

    def all(self) -> list[Obj]:
        """Each pod with the newest status this node knows."""
        return [worker.view for worker in self._workers.values() if not worker.gone]

    def admitted(self, besides: str) -> list[Obj]:
        """The pods this node has taken on that have not ended, save the one of the uid `besides`."""
        workers = (w for w in self._workers.values() if w.admitted and not w.gone and w.uid != besides)
        return [pod for pod in (w.view for w in workers) if not is_terminal(pod)]

    def find(self, namespace: str, name: str) -> Obj | None:
        wanted = f"{namespace}/{name}"
        pod = next((p for p in self._static.values() if key(p) == wanted), None) or self._informer.store.get(wanted)
        if pod is None:
            return None
        worker = self._workers.get(pod["metadata"]["uid"])
        return worker.view if worker is not None else pod

    def take_static(self, pods: list[Obj]) -> None:
        """These, and no others, are the static pods there should be."""
        self._static = {pod["metadata"]["uid"]: pod for pod in pods}
        for uid, worker in self._workers.items():
            worker.again = uid in self._static
            if is_static(worker.pod) and not worker.again and not worker.gone:
                worker.lose(worker.pod)
        self._start_static()

    def _start_static(self) -> None:
        """One whose name another version still has waits until that has ended."""
        busy = {key(worker.pod) for worker in self._workers.values()}
        for uid, pod in self._static.items():
            if self._working_on_static and uid not in self._workers and key(pod) not in busy:
                self._ensure(self._with_status(pod))
        self.on_static()

    def _with_status(self, pod: Obj) -> Obj:
        """The static pod as its mirror remembers it."""
        mirror = self._mirror(pod)
        return pod if mirror is None else {**pod, "status": mirror.get("status") or pod["status"]}

    def static_state(self) -> tuple[list[Obj], set[str], list[Obj]]:
        """Static pods that run, keys of pods that are being ended, mirrors (see Mirrors). None until all are known."""
        if not self._active:
            return [], set(), []
        running = [pod for uid, pod in self._static.items() if uid in self._workers and not self._workers[uid].gone]
        ending = {key(worker.pod) for worker in self._workers.values() if worker.gone}
        return running, ending, [pod for pod in self._informer.store.list() if mirrored_uid(pod)]

    def end(self, uid: str, ending: Ending) -> bool:
        """The node ends this pod (see PodWorker.end). False when there is none of that uid."""
        worker = self._workers.get(uid)
        if worker is None or worker.gone:
            return False
        worker.end(ending)
        return True

    def retry_resizes(self) -> None:
        """There may be room for what could not be granted (allocation_manager.go, retryPendingResizes)."""
        waiting = [(w.pod, w.resizing.granted) for w in self._workers.values() if w.resizing.is_deferred]
        for uid in by_urgency((pod, granted) for pod, granted in waiting if granted is not None):
            self._workers[uid].wake()

    def retry_volumes(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.retry_volumes()

    def container_changed(self, uid: str) -> None:
        """Called by the observer."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()
        elif self._active and self._observer.of_pod(uid).everything():
            self._adopt_orphan(uid)

    def _heard(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        if not self._active:
            return
        if mirrored := mirrored_uid(new or old or {}):
            if new is None and old is not None and self._shared is not None:
                self._shared.statuses.forget(old["metadata"]["uid"])
            if mirrored in self._workers and mirrored in self._static:
                self._ensure(self._with_status(self._static[mirrored]))
            self.on_static()
        elif new is not None:
            self._ensure(new)
        elif old is not None:
            worker = self._workers.get(old["metadata"]["uid"])
            if worker is not None:
                worker.lose(old)

    def _ensure(self, pod: Obj) -> None:
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is None:
            if self._shared is not None:
                self._workers[pod["metadata"]["uid"]] = PodWorker(pod, self._shared, self._done)
        else:
            worker.update(pod)

    def _adopt_orphan(self, uid: str) -> None:
        if self._wanted(uid) or self._shared is None:
            return
        pod = orphan(self._observer.of_pod(uid).everything(), self._clock)
        _log.info("pod is gone, ending its containers", pod=pod["metadata"]["name"], uid=uid)
        worker = PodWorker(pod, self._shared, self._done)
        worker.gone = True
        self._workers[uid] = worker

    def _done(self, worker: PodWorker) -> None:
        if self._workers.get(worker.uid) is worker:
            del self._workers[worker.uid]
        if self._active and not self._wanted(worker.uid) and self._observer.of_pod(worker.uid).everything():
            self._adopt_orphan(worker.uid)
        self._start_static()
        self.retry_resizes()

    def _wanted(self, uid: str) -> bool:
        return uid in self._static or self.stored(uid) is not None

    async def run(self) -> None:
        """Until cancelled. Begins only when both sides are known, what is wanted and what runs, and the Node, by whose
        labels and taints pods are refused. Static pods do not wait for the apiserver: only for a moment, since it knows
        what was told of them."""
        await self._observer.wait_listed()
        try:
            if self._static:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wait_synced(), _MOMENT)
            self._working_on_static = True
            self._start_static()
            await self._wait_synced()
            self._active = True
            for pod in self._informer.store.list():
                self._heard("ADDED", None, pod)
            self.on_static()
            while True:
                await self._clean()
                self.retry_resizes()
                await self._clock.sleep(_HOUSEKEEPING_SECONDS)
        finally:
            self._active = self._working_on_static = False
            await asyncio.gather(*(worker.close() for worker in list(self._workers.values())))

    async def _wait_synced(self) -> None:
        await self._informer.wait_synced()
        await self._nodes.wait_synced()

    async def _clean(self) -> None:
        """End containers and directories of pods that nobody knows any more."""
        for uid in self._observer.pods():
            if uid not in self._workers:
                self._adopt_orphan(uid)
        for uid in self._volumes.known_pods():
            if uid not in self._workers and not self._observer.of_pod(uid).everything():
                try:
                    await self._volumes.tear_down(uid)
                except (OSError, RuntimeFailure) as error:
                    _log.warning("volumes left behind", uid=uid, why=str(error))
                except Exception:  # what one pod left must not end the care for all others: it is tried again
                    _log.exception("volumes left behind", uid=uid)
