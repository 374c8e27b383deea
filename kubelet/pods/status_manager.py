"""Delivering pod statuses to the apiserver: the newest per pod, each at most once, however long it is away.

A write is a PUT of the status subresource against the newest object known, checked by uid and resourceVersion.
On a conflict the object is fetched and the status put onto it again: conditions of other writers are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api.builtin import PODS
from api.errors import ApiError, Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from api.meta import Obj, resource_version
from client import log
from client.clock import Clock
from client.http import ApiClient
from kubelet.pods.critical import is_static
from kubelet.pods.status.build import same
from kubelet.pods.status.conditions import merged

_log = log.get("status")
_AT_ONCE = 8
_RETRY_SECONDS = 1.0
_ATTEMPTS = 6


class StatusManager:
    def __init__(self, client: ApiClient, stored: Callable[[str], Obj | None], clock: Clock) -> None:
        """`stored(uid)` is the informer's copy of a pod, None when it has none; of a static pod, its mirror."""
        self._client, self._stored, self._clock = client, stored, clock
        self._wanted: dict[str, tuple[Obj, Obj]] = {}
        self._written: dict[str, Obj] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def set(self, pod: Obj, status: Obj) -> None:
        """Deliver `status` of `pod` soon, that of a static pod to its mirror. Returns at once."""
        bearer = self._stored(pod["metadata"]["uid"]) if is_static(pod) else pod
        if bearer is None:
            return  # when the mirror is there, its pod is told, and reports again
        pod, uid = bearer, bearer["metadata"]["uid"]
        if uid not in self._wanted and same(status, self._newest(pod).get("status") or {}):
            return
        self._wanted[uid] = (pod, status)
        if uid not in self._tasks:
            self._tasks[uid] = asyncio.create_task(self._deliver_all(uid), name=f"status {uid}")

    async def flush(self, uid: str) -> None:
        """Until nothing is left to deliver for this pod."""
        while uid in self._tasks:
            await asyncio.wait({self._tasks[uid]})

    def forget(self, uid: str) -> None:
        """The pod is gone: nothing more is to be delivered."""
        self._wanted.pop(uid, None)
        self._written.pop(uid, None)

    def _newest(self, pod: Obj) -> Obj:
        """The newest copy of the pod: the informer's or the answer to our last write."""
        uid = pod["metadata"]["uid"]
        copies = [c for c in (pod, self._stored(uid), self._written.get(uid)) if c is not None]
        return max(copies, key=resource_version)

    async def _deliver_all(self, uid: str) -> None:
        try:
            while uid in self._wanted:
                async with self._slots:
                    taken = self._wanted.pop(uid, None)
                    if taken is not None:
                        await self._deliver(*taken)
        finally:
            self._tasks.pop(uid, None)

    async def _deliver(self, pod: Obj, status: Obj) -> None:
        meta = pod["metadata"]
        base: Obj | None = self._newest(pod)
        for _ in range(_ATTEMPTS):
            try:
                if base is None:
                    base = await self._client.get(PODS, meta["name"], meta["namespace"])
                if base["metadata"]["uid"] != meta["uid"]:
                    return
                merged = with_others(status, base)
                if same(merged, base.get("status") or {}):
                    return
                body = {**base, "apiVersion": "v1", "kind": "Pod", "status": merged}
                self._written[meta["uid"]] = await self._client.update(PODS, body, subresource="status")
                return
            except Conflict:
                base = None
            except NotFound:
                return
            except (ServiceUnavailable, Timeout, TooManyRequests):
                # Kept for later, unless there is newer news by then.
                self._wanted.setdefault(meta["uid"], (pod, status))
                await self._clock.sleep(_RETRY_SECONDS)
                return
            except ApiError as error:
                _log.error("status refused", pod=f"{meta['namespace']}/{meta['name']}", why=error.message)
                return
        self._wanted.setdefault(meta["uid"], (pod, status))
        await self._clock.sleep(_RETRY_SECONDS)


def with_others(status: Obj, base: Obj) -> Obj:
    """Our status with the conditions that others have on the stored object."""
    stored = (base.get("status") or {}).get("conditions") or []
    return {**status, "conditions": merged(status.get("conditions") or [], stored)}
