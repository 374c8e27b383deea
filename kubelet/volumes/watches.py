"""The config maps and secrets that volumes on this node show, each watched once, whoever shows it.

A watch begins a little after a pod asked for it: the pod's start has read the object by then and is not kept waiting.
One that says it is immutable is not watched any longer.
https://kubernetes.io/docs/concepts/configuration/configmap/#configmap-immutable
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from api.builtin import CONFIG_MAPS, SECRETS
from api.meta import Obj
from api.registry import Resource
from client.clock import Clock
from client.http import ApiClient
from client.informer import Informer
from kubelet.pods.lookup import Lookup
from kubelet.volumes import claims

_AFTER = 2.0
_RESOURCES = {res.plural: res for res in (CONFIG_MAPS, SECRETS)}


class Key(NamedTuple):
    plural: str
    namespace: str
    name: str


def shown(pod: Obj) -> set[Key]:
    """What the volumes that containers of the pod mount are made from."""
    namespace, (mounted, _) = pod["metadata"]["namespace"], claims.used(pod)
    parts: list[Mapping[str, Any]] = []
    for volume in pod["spec"].get("volumes") or []:
        if volume["name"] in mounted:
            parts += [volume, *((volume.get("projected") or {}).get("sources") or [])]
    found = set()
    for part in parts:
        if part.get("configMap"):
            found.add(Key(CONFIG_MAPS.plural, namespace, part["configMap"].get("name") or ""))
        if part.get("secret"):
            # A volume says secretName, a projected source says name.
            name = part["secret"].get("secretName") or part["secret"].get("name") or ""
            found.add(Key(SECRETS.plural, namespace, name))
    return found


class _Watch:
    def __init__(self, client: ApiClient, key: Key, clock: Clock, changed: Callable[[], None]) -> None:
        self._key, self._clock, self._changed = key, clock, changed
        self.users: set[str] = set()
        res: Resource = _RESOURCES[key.plural]
        fields = f"metadata.name={key.name}"
        self.informer = Informer(client, res, namespace=key.namespace, fields=fields, clock=clock)
        self.informer.on_event(self._heard)
        self._task = asyncio.create_task(self._run(), name=f"watch {key.plural} {key.namespace}/{key.name}")

    async def _run(self) -> None:
        await self._clock.sleep(_AFTER * random.uniform(1.0, 1.5))
        await self.informer.run()

    def _heard(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        self._changed()
        if new is not None and new.get("immutable"):
            self._task.cancel()

    @property
    def obj(self) -> Obj | None:
        return self.informer.store.get(f"{self._key.namespace}/{self._key.name}")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class Watches:
    """Also what volumes are refreshed from (kubelet/volumes/base.py Objects): what is not watched yet is asked for."""

    def __init__(
        self, client: ApiClient, lookup: Lookup, clock: Clock, changed: Callable[[Iterable[str]], None]
    ) -> None:
        """`changed` hears the uids of the pods that show what has changed."""
        self._client, self._lookup, self._clock, self._changed = client, lookup, clock, changed
        self._watches: dict[Key, _Watch] = {}
        self._of_pod: dict[str, set[Key]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def want(self, uid: str, keys: set[Key]) -> None:
        """The pod shows these and no others any more."""
        before = self._of_pod.pop(uid, set())
        if keys:
            self._of_pod[uid] = keys
        for key in keys - before:
            if key not in self._watches:
                self._watches[key] = _Watch(self._client, key, self._clock, lambda key=key: self._tell(key))  # type: ignore[misc]  # mypy cannot infer such a lambda
            self._watches[key].users.add(uid)
        for key in before - keys:
            watch = self._watches[key]
            watch.users.discard(uid)
            if not watch.users:
                del self._watches[key]
                closing = asyncio.create_task(watch.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _tell(self, key: Key) -> None:
        if key in self._watches:
            self._changed(set(self._watches[key].users))

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        watch = self._watches.get(Key(CONFIG_MAPS.plural, namespace, name))
        if watch is not None and watch.informer.synced:
            return watch.obj
        return await self._lookup.config_map(namespace, name)

    async def secret(self, namespace: str, name: str) -> Obj | None:
        watch = self._watches.get(Key(SECRETS.plural, namespace, name))
        if watch is not None and watch.informer.synced:
            return watch.obj
        return await self._lookup.secret(namespace, name)

    async def token(self, pod: Obj, audience: str, seconds: int) -> str:
        return await self._lookup.token(pod, audience, seconds)

    async def close(self) -> None:
        await asyncio.gather(*(watch.close() for watch in self._watches.values()), *self._closing)
