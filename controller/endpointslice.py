"""The endpoint slice loop: EndpointSlices for each Service that has a selector, as `endpointslice_plan` says.

Slices are owned by their service: the garbage collector removes them after it.
"""

from __future__ import annotations

from api import meta
from api.builtin import NODES, PODS, SERVICES
from api.meta import Obj
from client.reconciler import Reconciler
from controller import backends, endpointslice_plan, pod_state, service_events
from controller.context import Context
from controller.slice_writer import SliceWriter


class EndpointSliceLoop:
    def __init__(self, context: Context) -> None:
        self._services = context.informer(SERVICES, "namespace")
        self._pods = context.informer(PODS, "namespace")
        self._nodes = context.informer(NODES)
        self._work = Reconciler("endpointslice", self._reconcile, clock=context.clock, workers=3)
        self._slices = SliceWriter(context, endpointslice_plan.MANAGER, self._work)
        service_events.follow(self._services, self._pods, self._work.queue.add)
        self._nodes.on_event(self._on_node)

    async def run(self) -> None:
        await self._work.run()

    def _on_node(self, _: str, old: Obj | None, new: Obj | None) -> None:
        zones = [meta.labels(node).get(backends.ZONE) if node else None for node in (old, new)]
        if zones[0] != zones[1]:
            for service in self._services.store.list():
                self._work.queue.add(meta.key(service))

    async def _reconcile(self, key: str) -> float | None:
        service = self._services.store.get(key)
        if service is None or not backends.has_selector(service) or meta.is_deleting(service):
            return None
        existing = self._slices.existing(key)
        if existing is None:
            return 1.0
        pods = self._pods.store.by_index("namespace", meta.namespace(service))
        nodes = [self._nodes.store.get(name) for name in {pod_state.node_name(pod) for pod in pods}]
        zones = {meta.name(node): meta.labels(node).get(backends.ZONE, "") for node in nodes if node}
        await self._slices.carry_out(key, endpointslice_plan.plan(service, pods, zones, existing))
        return None
