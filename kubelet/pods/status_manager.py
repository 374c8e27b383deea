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
from client.backoff import Backoff
from client.clock import Clock
from client.http import ApiClient
from kubelet.pods.critical import is_static
from kubelet.pods.status.build import same
from kubelet.pods.status.conditions import merged

_log = log.get("status")
_AT_ONCE = 8
_RETRY_SECONDS = 1.0
_ATTEMPTS = 6
_REFUSED_SECONDS = (10.0, 60.0)


class StatusManager:
    def __init__(self, client: ApiClient, stored: Callable[[str], Obj | None], clock: Clock) -> None:
        """`stored(uid)` is the informer's copy of a pod, None when it has none; of a static pod, its mirror."""
        self._client, self._stored, self._clock = client, stored, clock
        self._wanted: dict[str, tuple[Obj, Obj]] = {}
        self._written: dict[str, Obj] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pauses: dict[str, asyncio.Event] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._rest = asyncio.Event()
        """Set, and replaced, whenever the delivery for a pod comes to an end or a pause."""

    def set(self, pod: Obj, status: Obj) -> None:
        """Deliver `status` of `pod` soon, that of a static pod to its mirror. Returns at once."""
        bearer = self._stored(pod["metadata"]["uid"]) if is_static(pod) else pod
        if bearer is None:
            return  # when the mirror is there, its pod is told, and reports again
        pod, uid = bearer, bearer["metadata"]["uid"]
        if uid not in self._wanted and same(status, self._newest(pod).get("status") or {}):
            return
        if uid in self._wanted and not same(status, self._wanted[uid][1]):
            self._end_pause(uid)
        self._wanted[uid] = (pod, status)
        if uid not in self._tasks:
            self._tasks[uid] = asyncio.create_task(self._deliver_all(uid), name=f"status {uid}")

    async def flush(self, uid: str) -> None:
        """Until nothing is left to deliver for this pod, or it is refused: nobody waits for what may never be taken."""
        while uid in self._tasks and uid not in self._pauses:
            await self._rest.wait()

    def forget(self, uid: str) -> None:
        """The pod is gone: nothing more is to be delivered."""
        self._wanted.pop(uid, None)
        self._written.pop(uid, None)
        self._end_pause(uid)

    def _newest(self, pod: Obj) -> Obj:
        """The newest copy of the pod: the informer's or the answer to our last write."""
        uid = pod["metadata"]["uid"]
        copies = [c for c in (pod, self._stored(uid), self._written.get(uid)) if c is not None]
        return max(copies, key=resource_version)

    async def _deliver_all(self, uid: str) -> None:
        """What is refused is sent again, as status_manager.go does in each of its rounds, ten seconds apart."""
        refused, told = Backoff(*_REFUSED_SECONDS), ""
        try:
            while uid in self._wanted:
                async with self._slots:
                    taken = self._wanted.pop(uid, None)
                    why = await self._deliver(*taken) if taken else None
                if not taken or not why:
                    refused.reset()
                    continue
                name = f"{taken[0]['metadata']['namespace']}/{taken[0]['metadata']['name']}"
                (_log.debug if why == told else _log.error)("status refused", pod=name, why=why)
                told = why
                if self._wanted.setdefault(uid, taken) is taken:
                    await self._pause(uid, refused.delay())
        finally:
            self._tasks.pop(uid, None)
            self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._rest.set()
        self._rest = asyncio.Event()

    async def _pause(self, uid: str, seconds: float) -> None:
        """Ends early when there is news of the pod."""
        over = self._pauses[uid] = asyncio.Event()
        self._come_to_rest()
        timer = self._clock.call_later(seconds, over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()
            del self._pauses[uid]

    def _end_pause(self, uid: str) -> None:
        if uid in self._pauses:
            self._pauses[uid].set()

    async def _deliver(self, pod: Obj, status: Obj) -> str | None:
        """Why it is refused."""
        meta = pod["metadata"]
        base: Obj | None = self._newest(pod)
        for _ in range(_ATTEMPTS):
            try:
                if base is None:
                    base = await self._client.get(PODS, meta["name"], meta["namespace"])
                if base["metadata"]["uid"] != meta["uid"]:
                    return None
                merged = with_others(status, base)
                if same(merged, base.get("status") or {}):
                    return None
                body = {**base, "apiVersion": "v1", "kind": "Pod", "status": merged}
                self._written[meta["uid"]] = await self._client.update(PODS, body, subresource="status")
                return None
            except Conflict:
                base = None
            except NotFound:
                return None
            except (ServiceUnavailable, Timeout, TooManyRequests):
                break
            except ApiError as error:
                return error.message
        # Kept for later, unless there is newer news by then.
        self._wanted.setdefault(meta["uid"], (pod, status))
        await self._clock.sleep(_RETRY_SECONDS)
        return None


def with_others(status: Obj, base: Obj) -> Obj:
    """Our status with the conditions that others have on the stored object."""
    stored = (base.get("status") or {}).get("conditions") or []
    return {**status, "conditions": merged(status.get("conditions") or [], stored)}
