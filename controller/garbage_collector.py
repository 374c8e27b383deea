"""The garbage collector: objects whose owners are all gone go too; an owner that is deleted in the foreground
waits for its dependents; one that is deleted as an orphaner lets go of them first. Custom kinds take part.

Works on `owner_graph` alone. Nothing is deleted on the graph's word: the owner's absence and the object's own
identity are checked with the server first, and the delete carries UID and revision.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from api import meta
from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from client import log
from client.reconciler import Reconciler
from controller.context import Context
from controller.garbage_feed import Feeds
from controller.owner_graph import FOREGROUND, ORPHAN, Graph, Node, Owner, node_of

_log = log.get("garbage-collector")
_ABSENT = 500  # owners remembered as gone: a UID never comes back


class GarbageCollectorLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._discovery = context.client, context.discovery
        self._recorder = context.recorder("garbage-collector-controller")
        self._graph = Graph()
        self._work = Reconciler("garbage-collector", self._reconcile, clock=context.clock, workers=8)
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._puzzling: set[str] = set()
        """UIDs of objects with an owner of a kind that is not served: judged again when other kinds are."""
        self._feeds = Feeds(context, self._changed, self._gone)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feeds.run())
            await self._feeds.wait_synced()
            group.create_task(self._work.run())
            group.create_task(self._reconsider())

    async def _reconsider(self) -> None:
        served = self._discovery.changes()
        while True:
            await served.wait()
            served.clear()
            while self._puzzling:
                self._work.queue.add(self._puzzling.pop())

    # What the feeds tell.

    def _changed(self, resource: Resource, obj: Obj) -> None:
        node = node_of(resource, obj)
        old = self._graph.put(node)
        has_dependents_to_settle = node.deleting and (node.orphaning or node.foreground)
        if has_dependents_to_settle or not all(self._holds(owner, node) for owner in node.owners):
            self._work.queue.add(node.uid)
        if old is not None and old.owners != node.owners:
            self._wake_owners(old)
        if old is None or old.owners != node.owners:
            for owner in node.owners:
                known = self._graph.get(owner.uid)
                if known is not None and known.namespace not in ("", node.namespace):
                    self._report(node, owner)

    def _report(self, node: Node, owner: Owner) -> None:
        """An owner in another namespace does not count, which its author should hear."""
        _log.info("owner in another namespace", owner=owner.name, kind=owner.kind, dependent=node.name)
        involved = {
            "apiVersion": node.resource.api_version,
            "kind": node.resource.kind,
            "metadata": {"name": node.name, "namespace": node.namespace, "uid": node.uid},
        }
        shown = f"[{owner.api_version}/{owner.kind}, namespace: {node.namespace}, name: {owner.name}, uid: {owner.uid}]"
        why = f'ownerRef {shown} does not exist in namespace "{node.namespace}"'
        self._recorder.event(involved, "Warning", "OwnerRefInvalidNamespace", why)

    def _gone(self, uid: str) -> None:
        old = self._graph.remove(uid)
        for dependent in self._graph.dependents(uid):
            self._work.queue.add(dependent.uid)
        if old is not None:
            self._wake_owners(old)

    def _holds(self, owner: Owner, node: Node) -> bool:
        known = self._graph.get(owner.uid)
        return known is not None and known.namespace in ("", node.namespace) and not known.waits_for_dependents

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
            else:
                exists = await self._exists(owner, node)
                if exists is False:
                    dangling.add(owner.uid)
                else:
                    solid = True
                    early = early or bool(exists)  # its news has not reached us; look again when it has
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

    async def _exists(self, owner: Owner, dependent: Node) -> bool | None:
        """Whether the owner is there, by the server's word. None when it cannot be asked: then it counts as there."""
        resource = self._discovery.of(owner.api_version.rpartition("/")[0], owner.kind)
        if resource is None:
            self._puzzling.add(dependent.uid)
            return None
        if resource.namespaced and not dependent.namespace:
            _log.info("a cluster's object names a namespace's as owner", owner=owner.name, dependent=dependent.name)
            return None
        namespace = dependent.namespace if resource.namespaced else ""
        if (owner.uid, namespace) in self._absent:
            return False
        try:
            found = meta.uid(await self._client.get(resource, owner.name, namespace)) == owner.uid
        except NotFound:
            found = False
        if not found:
            self._absent[owner.uid, namespace] = None
            if len(self._absent) > _ABSENT:
                self._absent.popitem(last=False)
        return found

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

    async def _drop_owners(self, node: Node, uids: set[str]) -> None:
        await self._edit_owners(node, lambda owners: [o for o in owners if o.get("uid") not in uids])

    async def _unblock(self, node: Node) -> None:
        def unblocked(owners: list[Obj]) -> list[Obj]:
            return [{**o, "blockOwnerDeletion": False} if o.get("blockOwnerDeletion") else o for o in owners]

        await self._edit_owners(node, unblocked)

    async def _edit_owners(self, node: Node, edit: Callable[[list[Obj]], list[Obj]]) -> None:
        """By merge patch of the whole list: custom kinds have no strategic one."""
        live = await self._live(node)
        owners = meta.owner_references(live) if live else []
        edited = edit(owners)
        if live is None or edited == owners:
            return
        await self._patch(node, live, {"ownerReferences": edited or None})

    async def _patch(self, node: Node, live: Obj, metadata: Obj) -> None:
        """Change metadata of the object that we saw, and of no later one."""
        identity = {"uid": node.uid, "resourceVersion": live["metadata"]["resourceVersion"]}
        try:
            await self._client.patch(
                node.resource, node.name, {"metadata": identity | metadata}, namespace=node.namespace
            )
        except NotFound:
            return

    async def _orphan(self, node: Node) -> None:
        for dependent in self._graph.dependents(node.uid):
            await self._drop_owners(dependent, {node.uid})
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
        await self._patch(node, live, {"finalizers": [f for f in finalizers if f != finalizer]})
