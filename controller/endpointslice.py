"""The endpoint slice loop: EndpointSlices for each Service that has a selector, as `endpointslice_plan` says.

Slices are owned by their service: the garbage collector removes them after it.
"""

from __future__ import annotations

from api import meta
from api.builtin import ENDPOINT_SLICES, NODES, PODS, SERVICES
from api.errors import ApiError, NotFound
from api.meta import Obj
from client.reconciler import Reconciler
from controller import backends, endpointslice_plan, service_events
from controller.context import Context, namespace_is_terminating
from controller.written import Written


class EndpointSliceLoop:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._written = Written(context.clock)
        self._services = context.informer(SERVICES, "namespace")
        self._pods = context.informer(PODS, "namespace")
        self._nodes = context.informer(NODES)
        self._slices = context.informer(ENDPOINT_SLICES, "service")
        self._work = Reconciler("endpointslice", self._reconcile, clock=context.clock, workers=3)
        service_events.follow(self._services, self._pods, self._work.queue.add)
        self._slices.on_event(self._on_slice)
        self._nodes.on_event(self._on_node)

    async def run(self) -> None:
        await self._work.run()

    def _on_slice(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        for slice_ in (old, new):
            service = meta.labels(slice_).get(endpointslice_plan.SERVICE_NAME) if slice_ else None
            if slice_ is not None and service:
                key = f"{meta.namespace(slice_)}/{service}"
                if kind == "delete":
                    self._written.drop(key, meta.key(slice_))
                self._work.queue.add(key)

    def _on_node(self, _: str, old: Obj | None, new: Obj | None) -> None:
        zones = [meta.labels(node).get(backends.ZONE) if node else None for node in (old, new)]
        if zones[0] != zones[1]:
            for service in self._services.store.list():
                self._work.queue.add(meta.key(service))

    async def _reconcile(self, key: str) -> float | None:
        service = self._services.store.get(key)
        if service is None or not backends.has_selector(service) or meta.is_deleting(service):
            return None
        if self._written.is_behind(key, self._slices.store):
            return 1.0  # usually sooner: the event that we wait for queues the key as well
        ours = [
            s for s in self._slices.store.by_index("service", key)
            if meta.labels(s).get(endpointslice_plan.MANAGED_BY) == endpointslice_plan.MANAGER
        ]  # fmt: skip
        zones = {
            meta.name(node): meta.labels(node)[backends.ZONE]
            for node in self._nodes.store.list() if backends.ZONE in meta.labels(node)
        }  # fmt: skip
        pods = self._pods.store.by_index("namespace", meta.namespace(service))
        plan = endpointslice_plan.plan(service, pods, zones, ours)
        for slice_ in plan.create:
            try:
                self._written.note(key, await self._client.create(ENDPOINT_SLICES, slice_))
            except ApiError as error:
                if namespace_is_terminating(error):
                    return None
                raise
        for slice_ in plan.update:
            self._written.note(key, await self._client.update(ENDPOINT_SLICES, slice_))
        for slice_ in plan.delete:
            try:
                await self._client.delete(
                    ENDPOINT_SLICES, meta.name(slice_), meta.namespace(slice_), uid=meta.uid(slice_)
                )
            except NotFound:
                continue
        return None
