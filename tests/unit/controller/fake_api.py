"""An apiserver in memory, as far as the control loops can tell, with watches that a test can hold back.

It keeps what matters to a loop: revisions and conflicts, UIDs, generated names, status as a door of its own,
graceful pods, finalizers and propagation, and the order of watch events.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from api import meta
from api.builtin import BUILTIN
from api.errors import already_exists, conflict, not_found
from api.meta import Obj
from api.patch import merge, strategic
from api.registry import Resource
from client.clock import FakeClock, settle
from client.http import ApiClient
from client.informer import Informers
from controller.context import Context, Loop, Options


class FakeApi:
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._revision = 0
        self._objects: dict[str, dict[str, Obj]] = {}
        self._log: dict[str, list[tuple[str, Obj]]] = {}
        self._news = asyncio.Event()
        self._held: set[str] = set()
        self.calls: list[tuple[str, str, str]] = []  # (verb, plural, name) of every write
        self.custom: list[Resource] = []  # served besides the built-in kinds
        self.stale: list[str] = []  # group/versions whose server is away
        self.refuse: Callable[[str, Resource], Exception | None] = lambda verb, resource: None

    # For tests.

    def all(self, resource: Resource) -> list[Obj]:
        return list(self._of(resource).values())

    def one(self, resource: Resource, name: str, namespace: str = "default") -> Obj | None:
        return self._of(resource).get(f"{namespace}/{name}" if resource.namespaced else name)

    def put(self, resource: Resource, obj: Obj) -> Obj:
        """Store as is, past all rules."""
        obj = copy.deepcopy(obj)
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
        known = meta.key(obj) in self._of(resource)
        return self._store(resource, obj, "MODIFIED" if known else "ADDED")

    def hold(self, resource: Resource) -> None:
        """Its watchers learn nothing until `release`."""
        self._held.add(resource.plural)

    def release(self, resource: Resource) -> None:
        self._held.discard(resource.plural)
        self._news.set()

    # What ApiClient offers.

    async def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Obj:
        return copy.deepcopy(self._current(resource, name, namespace))

    async def list(self, resource: Resource, namespace: str = "", **_: Any) -> Obj:
        items = [copy.deepcopy(o) for o in self.all(resource) if not namespace or meta.namespace(o) == namespace]
        return {"items": items, "metadata": {"resourceVersion": str(self._revision)}}

    async def discover(self) -> list[Obj]:
        return [
            {
                "items": [
                    {
                        "metadata": {"name": row.group},
                        "versions": [{"version": row.version, "resources": [_described(row)]}],
                    }
                    for row in [*BUILTIN, *self.custom]
                ]
            },
            {
                "items": [
                    {"metadata": {"name": group}, "versions": [{"version": version, "freshness": "Stale"}]}
                    for group, version in (name.split("/") for name in self.stale)
                ]
            },
        ]

    async def create(self, resource: Resource, obj: Obj, *, namespace: str = "", **_: Any) -> Obj:
        self._check("create", resource)
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        if resource.namespaced:
            metadata["namespace"] = metadata.get("namespace") or namespace
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self._revision:05}"
        if meta.key(obj) in self._of(resource):
            raise already_exists(resource.group, resource.plural, meta.name(obj))
        metadata |= {
            "uid": f"uid-{self._revision}", "generation": 1, "creationTimestamp": meta.rfc3339(self._clock.now()),
        }  # fmt: skip
        self._note("create", resource, meta.name(obj))
        if "phase" not in obj.get("status", {}) and resource.graceful:
            obj["status"] = {"phase": "Pending"}
        return copy.deepcopy(self._store(resource, obj, "ADDED"))

    async def update(self, resource: Resource, obj: Obj, *, subresource: str = "", **_: Any) -> Obj:
        self._check("update", resource)
        current = self._current(resource, meta.name(obj), meta.namespace(obj))
        if obj["metadata"].get("resourceVersion", current["metadata"]["resourceVersion"]) != (
            current["metadata"]["resourceVersion"]
        ) or obj["metadata"].get("uid", meta.uid(current)) != meta.uid(current):
            raise conflict(resource.group, resource.plural, meta.name(obj))
        new = copy.deepcopy(obj)
        if subresource == "status":
            new = {**copy.deepcopy(current), "status": new.get("status")}
        elif resource.has_status:
            new["status"] = copy.deepcopy(current.get("status") or {})
            if new.get("spec") != current.get("spec"):
                new["metadata"]["generation"] = int(current["metadata"].get("generation") or 0) + 1
        self._note("update", resource, meta.name(obj))
        ended = meta.is_deleting(new) and not new["metadata"].get("finalizers") and not resource.graceful
        if ended and not (new.get("spec") or {}).get("finalizers"):
            return self._remove(resource, new)
        return copy.deepcopy(self._store(resource, new, "MODIFIED"))

    async def patch(
        self, resource: Resource, name: str, patch: Any, *, namespace: str = "", kind: str = "merge",
        subresource: str = "", **_: Any,
    ) -> Obj:  # fmt: skip
        current = copy.deepcopy(self._current(resource, name, namespace))
        new = merge.apply(current, patch) if kind == "merge" else strategic.apply(resource, current, patch)
        return await self.update(resource, new, subresource=subresource)

    async def delete(
        self, resource: Resource, name: str, namespace: str = "", *, grace_period: int | None = None,
        uid: str = "", resource_version: str = "", propagation: str = "", **_: Any,
    ) -> Obj:  # fmt: skip
        self._check("delete", resource)
        obj = copy.deepcopy(self._current(resource, name, namespace))
        stale = resource_version and resource_version != obj["metadata"]["resourceVersion"]
        if stale or (uid and uid != meta.uid(obj)):
            raise conflict(resource.group, resource.plural, name)
        self._note("delete", resource, name)
        finalizers = obj["metadata"].setdefault("finalizers", [])
        extra = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        if extra and extra not in finalizers:
            finalizers.append(extra)
        waits = resource.graceful and grace_period != 0 and (obj.get("spec") or {}).get("nodeName")
        if finalizers or waits or (obj.get("spec") or {}).get("finalizers"):
            obj["metadata"].setdefault("deletionTimestamp", meta.rfc3339(self._clock.now()))
            return copy.deepcopy(self._store(resource, obj, "MODIFIED"))
        return self._remove(resource, obj)

    async def delete_collection(self, resource: Resource, namespace: str = "", **_: Any) -> Obj:
        for obj in (await self.list(resource, namespace))["items"]:
            await self.delete(resource, meta.name(obj), namespace)
        return {}

    async def watch(
        self, resource: Resource, namespace: str = "", *, resource_version: str = "", **_: Any
    ) -> AsyncIterator[tuple[str, Obj]]:
        log, at = self._log.setdefault(resource.plural, []), 0
        while True:
            while at < len(log) and resource.plural not in self._held:
                type_, obj = log[at]
                at += 1
                mine = not namespace or meta.namespace(obj) == namespace
                if mine and meta.resource_version(obj) > int(resource_version or 0):
                    yield type_, copy.deepcopy(obj)
            self._news.clear()
            await self._news.wait()

    # Inside.

    def _of(self, resource: Resource) -> dict[str, Obj]:
        return self._objects.setdefault(resource.plural, {})

    def _current(self, resource: Resource, name: str, namespace: str) -> Obj:
        found = self.one(resource, name, namespace)
        if found is None:
            raise not_found(resource.group, resource.plural, name)
        return found

    def _check(self, verb: str, resource: Resource) -> None:
        error = self.refuse(verb, resource)
        if error is not None:
            raise error

    def _note(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append((verb, resource.plural, name))

    def _store(self, resource: Resource, obj: Obj, event: str) -> Obj:
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        self._of(resource)[meta.key(obj)] = obj
        self._tell(resource, event, obj)
        return obj

    def _remove(self, resource: Resource, obj: Obj) -> Obj:
        self._revision += 1
        obj["metadata"]["resourceVersion"] = str(self._revision)
        self._of(resource).pop(meta.key(obj), None)
        self._tell(resource, "DELETED", obj)
        return obj

    def _tell(self, resource: Resource, event: str, obj: Obj) -> None:
        self._log.setdefault(resource.plural, []).append((event, copy.deepcopy(obj)))
        self._news.set()


class Running:
    """`async with Running(api, clock, DeploymentLoop, …)`: these loops, synced and at work."""

    def __init__(self, api: FakeApi, clock: FakeClock, *loops: Callable[[Context], Loop], **options: Any) -> None:
        client = cast(ApiClient, api)
        self._informers = Informers(client, clock=clock)
        self.context = Context(client, self._informers, clock, Options(**options))
        self.loops = [make(self.context) for make in loops]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Running:
        self._start(self._informers.run())
        self._start(self.context.discovery.run())
        await self._informers.wait_synced()
        await self.context.discovery.wait_known()
        for recorder in self.context.recorders:
            self._start(recorder.run())
        for loop in self.loops:
            self._start(loop.run())
        await calm()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        self._tasks.append(asyncio.ensure_future(work))


def _described(row: Resource) -> Obj:
    return {
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }


async def calm() -> None:
    """Let everything that needs no time happen."""
    await settle(400)
