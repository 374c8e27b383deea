"""The mirrors of static pods, which show them in the apiserver: made when they are missing, also when somebody deletes
them, made anew when their manifest is another, gone when their pod is. The static pods need none of this to run.

A mirror is a copy that the apiserver gives a uid of its own; the static pod's is in its annotations.
Rules: pkg/kubelet/pod/mirror_client.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from api.builtin import PODS
from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.meta import Obj, is_deleting, key
from client import log
from client.backoff import Backoff
from client.clock import Clock
from client.http import ApiClient
from kubelet.pods.alarm import Alarm
from kubelet.pods.critical import HASH, MIRROR, mirrored_uid

_log = log.get("static-pods")
State = tuple[list[Obj], set[str], list[Obj]]
"""Static pods that run, keys of those that are being ended, mirrors in the apiserver."""


def mirror_of(pod: Obj, node: Obj) -> Obj:
    """What the apiserver is to show of a static pod. `node` is the Node object."""
    meta = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
    shown = {k: meta[k] for k in ("name", "namespace", "labels") if k in meta}
    shown["annotations"] = {**meta["annotations"], MIRROR: meta["annotations"][HASH]}
    shown["ownerReferences"] = [{**owner, "controller": True}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": shown, "spec": pod["spec"]}


def plan(running: Iterable[Obj], ending: Collection[str], mirrors: Iterable[Obj]) -> tuple[list[Obj], list[Obj]]:
    """(mirrors to delete, static pods to mirror). `ending` are the keys of pods whose containers are still being
    ended: their mirrors stay meanwhile. A name is only free once the mirror that had it is gone."""
    wanted = {key(pod): pod for pod in running}
    there, outdated = set(), []
    for each in mirrors:
        name = key(each)
        there.add(name)
        pod = wanted.get(name)
        current = pod is not None and not is_deleting(each) and mirrored_uid(each) == pod["metadata"]["uid"]
        if not (current or (pod is None and name in ending)):
            outdated.append(each)
    return outdated, [pod for name, pod in wanted.items() if name not in there]


class Mirrors:
    def __init__(
        self, client: ApiClient, state: Callable[[], State], node: Callable[[], Obj | None], clock: Clock
    ) -> None:
        """`node` is the Node object, None while it is not registered."""
        self._client, self._state, self._node = client, state, node
        self._news = asyncio.Event()
        self._alarm = Alarm(clock, self.wake)
        self._pause = Backoff(1.0, 30.0)

    def wake(self) -> None:
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            self._alarm.clear()
            if await self._make_so():
                self._pause.reset()
            else:
                self._alarm.set(self._pause.delay())

    async def _make_so(self) -> bool:
        """False when something is to be tried again."""
        outdated, missing = plan(*self._state())
        node, done = self._node(), True
        for mirror in outdated:
            done &= await self._delete(mirror)
        for pod in missing:
            done &= node is not None and await self._create(mirror_of(pod, node))
        return done

    async def _delete(self, mirror: Obj) -> bool:
        meta = mirror["metadata"]
        try:
            await self._client.delete(PODS, meta["name"], meta["namespace"], grace_period=0, uid=meta["uid"])
        except (NotFound, Conflict):
            return True  # it is another by now
        except ApiError as error:
            _log.warning("mirror pod not deleted", pod=key(mirror), why=error.message)
            return False
        return True

    async def _create(self, mirror: Obj) -> bool:
        try:
            await self._client.create(PODS, mirror)
        except AlreadyExists:
            return False  # our copy of what is there is old, or somebody's own pod has the name
        except ApiError as error:
            _log.warning("mirror pod not created", pod=key(mirror), why=error.message)
            return False
        return True
