"""The garbage collector: objects whose owners are all gone go too; an owner that is deleted in the foreground
waits for its dependents; one that is deleted as an orphaner lets go of them first.

Works on `owner_graph` alone. Nothing is deleted on the graph's word: the owner's absence and the object's own
identity are checked with the server first, and the delete carries UID and revision.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from api import meta
from api.builtin import BUILTIN
from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from client import log
from client.reconciler import Reconciler
from controller.context import Context
from controller.garbage_feed import Feed, follow
from controller.owner_graph import FOREGROUND, ORPHAN, Graph, Node, Owner, node_of

_log = log.get("garbage-collector")


class GarbageCollectorLoop:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._graph = Graph()
        self._work = Reconciler("garbage-collector", self._reconcile, clock=context.clock, workers=8)
        self._feeds: list[Feed] = follow(context, self._changed, self._gone)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds:
                group.create_task(feed.run())
            for feed in self._feeds:
                await feed.wait_synced()
            group.create_task(self._work.run())

    # What the feeds tell.

    def _changed(self, resource: Resource, obj: Obj) -> None:
        node = node_of(resource, obj)
        old = self._graph.put(node)
        has_dependents_to_settle = node.deleting and (node.orphaning or node.foreground)
        if has_dependents_to_settle or not all(self._holds(owner) for owner in node.owners):
            self._work.queue.add(node.uid)
        if old is not None and old.owners != node.owners:
            self._wake_owners(old)

    def _gone(self, uid: str) -> None:
        old = self._graph.remove(uid)
        for dependent in self._graph.dependents(uid):
            self._work.queue.add(dependent.uid)
        if old is not None:
            self._wake_owners(old)

    def _holds(self, owner: Owner) -> bool:
        known = self._graph.get(owner.uid)
        return known is not None and not known.waits_for_dependents

    def _wake_owners(self, node: Node) -> None:
        for owner in node.owners:
            known = self._graph.get(owner.uid)
            if known is not None and known.waits_for_dependents:
                self._work.queue.add(owner.uid)

    # What follows from it.

    async def _reconcile(self, uid: str) -> float | None:
        node = self._graph.get(uid)
        if node is None:
            return None
        if node.deleting and node.orphaning:
            await self._orphan(node)
        elif node.waits_for_dependents:
            await self._foreground(node)
        elif node.owners and not node.deleting:
            return await self._collect(node)
        return None

    async def _collect(self, node: Node) -> float | None:
        solid, dangling, waiting, early = False, set[str](), set[str](), False
        for owner in node.owners:
            known = self._graph.get(owner.uid)
            if known is not None and known.namespace in ("", node.namespace):
                if known.waits_for_dependents:
                    waiting.add(owner.uid)
                else:
                    solid = True
            elif await self._exists(owner, node):
                solid = early = True  # its news has not reached us; look again when it has
            else:
                dangling.add(owner.uid)
        if solid:
            if dangling or waiting:
                await self._drop_owners(node, dangling | waiting)
            return 2.0 if early else None
        live = await self._live(node)
        if live is None:
            return None
        if node_of(node.resource, live).owners != node.owners:
            return 1.0  # changed meanwhile: judge again by the news
        propagation = "Background"
        dependents = self._graph.dependents(node.uid)
        if waiting and dependents:
            if any(d.waits_for_dependents for d in dependents):
                await self._unblock(node)  # a cycle would wait for itself for ever
            propagation = "Foreground"
        elif ORPHAN in (live["metadata"].get("finalizers") or ()):
            propagation = "Orphan"
        elif FOREGROUND in (live["metadata"].get("finalizers") or ()):
            propagation = "Foreground"
        await self._delete(node, live, propagation)
        return None

    async def _exists(self, owner: Owner, dependent: Node) -> bool:
        """Whether the owner is there, by the server's word. One whose kind we do not know counts as there."""
        resource = _resource_of(owner)
        if resource is None or (resource.namespaced and not dependent.namespace):
            _log.info("owner cannot be looked up", owner=owner.name, kind=owner.kind, dependent=dependent.name)
            return True
        try:
            namespace = dependent.namespace if resource.namespaced else ""
            live = await self._client.get(resource, owner.name, namespace)
        except NotFound:
            return False
        return meta.uid(live) == owner.uid

    async def _live(self, node: Node) -> Obj | None:
        """The object as it is now; None when it is gone, replaced by another, or going already."""
        try:
            live = await self._client.get(node.resource, node.name, node.namespace)
        except NotFound:
            return None
        return live if meta.uid(live) == node.uid else None

    async def _delete(self, node: Node, live: Obj, propagation: str) -> None:
        if meta.is_deleting(live) and propagation != "Foreground":
            return
        _log.info("removing", resource=node.resource.qualified, name=node.name, namespace=node.namespace)
        try:
            await self._client.delete(
                node.resource, node.name, node.namespace, uid=node.uid,
                resource_version=live["metadata"]["resourceVersion"], propagation=propagation,
            )  # fmt: skip
        except NotFound:
            return

    async def _drop_owners(self, node: Node, uids: Iterable[str]) -> None:
        references = [{"$patch": "delete", "uid": uid} for uid in sorted(uids)]
        patch = {"metadata": {"uid": node.uid, "ownerReferences": references}}
        try:
            await self._client.patch(node.resource, node.name, patch, namespace=node.namespace, kind="strategic")
        except NotFound:
            return

    async def _unblock(self, node: Node) -> None:
        references = [{"uid": o.uid, "blockOwnerDeletion": False} for o in node.owners if o.blocks]
        patch = {"metadata": {"uid": node.uid, "ownerReferences": references}}
        await self._client.patch(node.resource, node.name, patch, namespace=node.namespace, kind="strategic")

    async def _orphan(self, node: Node) -> None:
        for dependent in self._graph.dependents(node.uid):
            await self._drop_owners(dependent, [node.uid])
        await self._remove_finalizer(node, ORPHAN)

    async def _foreground(self, node: Node) -> None:
        if not self._graph.blocking(node.uid):
            await self._remove_finalizer(node, FOREGROUND)
            return
        for dependent in self._graph.dependents(node.uid):
            if not dependent.deleting:
                self._work.queue.add(dependent.uid)

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        live = await self._live(node)
        finalizers = live["metadata"].get("finalizers") or [] if live else []
        if live is None or finalizer not in finalizers:
            return
        patch = {"metadata": {
            "uid": node.uid,
            "resourceVersion": live["metadata"]["resourceVersion"],
            "finalizers": [f for f in finalizers if f != finalizer],
        }}  # fmt: skip
        try:
            await self._client.patch(node.resource, node.name, patch, namespace=node.namespace)
        except NotFound:
            return


def _resource_of(owner: Owner) -> Resource | None:
    """By group and kind: a reference may name a version that is no longer served."""
    group = owner.api_version.rpartition("/")[0]
    return next((r for r in BUILTIN if r.group == group and r.kind == owner.kind), None)
