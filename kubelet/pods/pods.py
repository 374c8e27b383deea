"""Which pods have a worker: those bound to this node, and those that only their containers remember."""

from __future__ import annotations

import asyncio

from api.meta import Obj
from client import log
from client.clock import Clock
from client.informer import Informer
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods.model import Ending, is_terminal
from kubelet.pods.orphans import orphan
from kubelet.pods.workers import PodWorker, Shared
from kubelet.volumes.manager import Volumes

_log = log.get("pods")
_HOUSEKEEPING_SECONDS = 60.0


def by_uid(pod: Obj) -> list[str]:
    return [pod["metadata"]["uid"]]


class Pods:
    def __init__(self, informer: Informer, observer: Observer, volumes: Volumes, clock: Clock) -> None:
        self._informer, self._observer, self._volumes, self._clock = informer, observer, volumes, clock
        self._workers: dict[str, PodWorker] = {}
        self._shared: Shared | None = None
        self._active = False
        informer.add_indexer("uid", by_uid)
        informer.on_event(self._heard)

    def use(self, shared: Shared) -> None:
        self._shared = shared

    @property
    def working(self) -> bool:
        """Both sides are known, what is wanted and what runs, and pods are looked after."""
        return self._active

    def stored(self, uid: str) -> Obj | None:
        found = self._informer.store.by_index("uid", uid)
        return found[0] if found else None

    def all(self) -> list[Obj]:
        """Each pod with the newest status this node knows."""
        return [worker.view for worker in self._workers.values() if not worker.gone]

    def admitted(self, besides: str) -> list[Obj]:
        """The pods this node has taken on that have not ended, save the one of the uid `besides`."""
        workers = (w for w in self._workers.values() if w.admitted and not w.gone and w.uid != besides)
        return [pod for pod in (w.view for w in workers) if not is_terminal(pod)]

    def find(self, namespace: str, name: str) -> Obj | None:
        pod = self._informer.store.get(f"{namespace}/{name}")
        if pod is None:
            return None
        worker = self._workers.get(pod["metadata"]["uid"])
        return worker.view if worker is not None else pod

    def end(self, uid: str, ending: Ending) -> bool:
        """The node ends this pod (see PodWorker.end). False when there is none of that uid."""
        worker = self._workers.get(uid)
        if worker is None or worker.gone:
            return False
        worker.end(ending)
        return True

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
        if new is not None:
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
        if self.stored(uid) is not None or self._shared is None:
            return
        pod = orphan(self._observer.of_pod(uid).everything(), self._clock)
        _log.info("pod is gone, ending its containers", pod=pod["metadata"]["name"], uid=uid)
        worker = PodWorker(pod, self._shared, self._done)
        worker.gone = True
        self._workers[uid] = worker

    def _done(self, worker: PodWorker) -> None:
        if self._workers.get(worker.uid) is worker:
            del self._workers[worker.uid]
        if self._active and self.stored(worker.uid) is None and self._observer.of_pod(worker.uid).everything():
            self._adopt_orphan(worker.uid)

    async def run(self) -> None:
        """Until cancelled. Begins only when both sides are known: what is wanted and what runs."""
        await self._informer.wait_synced()
        await self._observer.wait_listed()
        self._active = True
        try:
            for pod in self._informer.store.list():
                self._ensure(pod)
            while True:
                await self._clean()
                await self._clock.sleep(_HOUSEKEEPING_SECONDS)
        finally:
            self._active = False
            await asyncio.gather(*(worker.close() for worker in list(self._workers.values())))

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
