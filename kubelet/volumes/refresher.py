"""What changes in a running pod's volumes: brought there at once when the change is heard of, and looked after once
in each sync period for what nobody tells of: tokens that grow old.

One timer and one task for all pods. A pod is followed from when its directory is there until it has ended; nothing is
remembered that a restart does not find again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from api.meta import Obj
from client import log
from client.clock import Clock
from client.http import ApiClient
from client.informer import Informer
from kubelet.pods.lookup import Lookup
from kubelet.pods.model import is_terminal
from kubelet.volumes import claims
from kubelet.volumes.kinds import FILES
from kubelet.volumes.manager import Volumes
from kubelet.volumes.watches import Watches, shown

_log = log.get("volumes")


class Refresher:
    def __init__(
        self,
        client: ApiClient,
        pods: Informer,
        lookup: Lookup,
        volumes: Volumes,
        clock: Clock,
        period: float,
        retry: Callable[[str], None],
    ) -> None:
        """`pods` are this node's, indexed by uid. `retry` hears the uid of a pod whose volumes could not be set up
        and may be now. `period` in seconds (syncFrequency)."""
        self._pods, self._volumes, self._clock, self._period, self._retry = pods, volumes, clock, period, retry
        self._watches = Watches(client, lookup, clock, self._need)
        self._followed: set[str] = set()
        self._due: set[str] = set()
        self._news = asyncio.Event()
        self._ticked = False
        pods.on_event(self._heard)

    def _need(self, uids: Iterable[str]) -> None:
        self._due.update(uids)
        self._news.set()

    def _heard(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        pod = new if new is not None else old
        if pod is None or not pod["spec"].get("volumes"):
            return
        uid = pod["metadata"]["uid"]
        if new is None or is_terminal(new):
            if uid in self._followed:
                self._followed.discard(uid)
                self._watches.want(uid, set())
        elif uid not in self._followed and has_files(new) and self._volumes.pod_directory(uid).exists():
            self._followed.add(uid)
            self._watches.want(uid, shown(new))
        elif old is not None and _fields(old) != _fields(new):
            self._need([uid])

    async def run(self) -> None:
        """Until cancelled."""
        timer = self._clock.call_later(self._period, self._tick)
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if self._ticked:
                    self._ticked = False
                    timer = self._clock.call_later(self._period, self._tick)
                due, self._due = self._due, set()
                for uid in due & self._followed:
                    try:
                        await self._refresh(uid)
                    except Exception:  # one pod's trouble must not keep the others' volumes as they are
                        _log.exception("refresh failed", uid=uid)
        finally:
            timer.cancel()
            await self._watches.close()

    def _tick(self) -> None:
        self._ticked = True
        self._need(self._followed)

    async def _refresh(self, uid: str) -> None:
        found = self._pods.store.by_index("uid", uid)
        if found and self._volumes.pod_directory(uid).exists():
            await self._volumes.refresh(found[0], self._watches)
            if self._volumes.is_waiting(uid):
                self._retry(uid)


def has_files(pod: Obj) -> bool:
    """A container mounts a volume that is made from objects."""
    mounted, _ = claims.used(pod)
    return any(v["name"] in mounted and claims.own(v).kind in FILES for v in pod["spec"].get("volumes") or [])


def _fields(pod: Obj) -> tuple[object, ...]:
    """What downward API volumes show."""
    meta = pod["metadata"]
    return meta.get("labels"), meta.get("annotations"), pod["spec"]
