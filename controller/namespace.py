"""The namespace loop: empties a namespace that is being deleted, of every kind that is served, then lets it go.

Pods first, everything else when they have ended: what they use must not vanish under them. The `kubernetes`
finalizer is removed through the finalize subresource only after a look that found nothing.
"""

from __future__ import annotations

from api import meta
from api.builtin import NAMESPACES, PODS
from api.errors import ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
from client.reconciler import Reconciler
from controller import namespace_plan
from controller.context import Context, in_parallel
from controller.namespace_plan import Remains

FINALIZER = "kubernetes"


class NamespaceLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._discovery = context.client, context.clock, context.discovery
        self._namespaces = context.informer(NAMESPACES)
        self._work = Reconciler("namespace", self._reconcile, clock=context.clock, workers=5)
        self._namespaces.on_event(self._on_namespace)
        context.informer(PODS).on_event(self._on_pod)

    async def run(self) -> None:
        await self._work.run()

    def _on_namespace(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None and meta.is_deleting(new):
            self._work.queue.add(meta.name(new))

    def _on_pod(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        """The last pod to end is what a namespace most often waits for."""
        if kind == "delete" and old is not None:
            self._on_namespace("update", None, self._namespaces.store.get(meta.namespace(old)))

    async def _reconcile(self, name: str) -> float | None:
        namespace = self._namespaces.store.get(name)
        if namespace is None or not meta.is_deleting(namespace):
            return None
        if FINALIZER not in ((namespace.get("spec") or {}).get("finalizers") or []):
            return None
        namespace = await self._client.get(NAMESPACES, name)
        await self._discovery.refresh()  # a kind that came a moment ago may have objects here
        remains = Remains()
        await self._empty(name, PODS, remains)
        remains.discovery = self._discovery.failure
        if not remains.resources and not remains.errors:
            served = [r for r in self._discovery.rows if r.namespaced and {"list", "delete"} <= set(r.verbs)]
            others = [r for r in served if r.qualified != PODS.qualified]
            raised = await in_parallel([self._empty(name, r, remains) for r in others])
            if raised:
                raise raised[0]
        conditions = namespace_plan.conditions(namespace, remains, self._clock.now())
        status = {**(namespace.get("status") or {}), "phase": "Terminating", "conditions": conditions}
        changed = status != namespace.get("status")
        if changed:
            namespace = await self._client.update(NAMESPACES, {**namespace, "status": status}, subresource="status")
        if not remains.is_empty:
            return remains.wait or (1.0 if changed else 5.0)
        finalizers = [f for f in namespace["spec"].get("finalizers") or [] if f != FINALIZER]
        spec = {**namespace["spec"], "finalizers": finalizers}
        await self._client.update(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize")
        return None

    async def _empty(self, name: str, resource: Resource, remains: Remains) -> None:
        """Delete all of a resource in the namespace, and note in `remains` what is still there."""
        try:
            found = await self._found(name, resource)
            if any(not meta.is_deleting(obj) for obj in found):
                await self._delete_all(name, resource, found)
                found = await self._found(name, resource)
        except NotFound:
            return  # the kind itself is gone, and its objects with it
        except ApiError as error:
            remains.errors.append(f"{resource.qualified}: {error.message}")
            return
        remains.add(f"{resource.plural}.{resource.group}", found)
        if found and resource.qualified == PODS.qualified:
            grace = namespace_plan.grace_of(found, self._clock.now())
            remains.wait = min(max(grace / 2, 0.2), 5.0)

    async def _found(self, name: str, resource: Resource) -> list[Obj]:
        metadata_only = resource.qualified != PODS.qualified  # of pods one wants to know how long they may take
        items: list[Obj] = (await self._client.list(resource, name, metadata_only=metadata_only))["items"]
        return items

    async def _delete_all(self, name: str, resource: Resource, found: list[Obj]) -> None:
        if "deletecollection" in resource.verbs:
            await self._client.delete_collection(resource, name, propagation="Background")
            return
        for obj in found:
            try:
                await self._client.delete(resource, meta.name(obj), name, uid=meta.uid(obj))
            except NotFound:
                continue
