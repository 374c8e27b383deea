"""The mirroring loop: EndpointSlices for Endpoints that people write themselves, so that whoever follows slices
alone (the proxy, DNS) serves them too."""

from __future__ import annotations

from api import meta
from api.builtin import ENDPOINTS, SERVICES
from api.meta import Obj
from client.reconciler import Reconciler
from controller import endpointslice_mirror_plan
from controller.context import Context
from controller.slice_writer import SliceWriter


class EndpointSliceMirrorLoop:
    def __init__(self, context: Context) -> None:
        self._services = context.informer(SERVICES)
        self._endpoints = context.informer(ENDPOINTS)
        self._work = Reconciler("endpointslice-mirroring", self._reconcile, clock=context.clock)
        self._slices = SliceWriter(context, endpointslice_mirror_plan.MANAGER, self._work)
        self._services.on_event(self._on_event)
        self._endpoints.on_event(self._on_event)

    async def run(self) -> None:
        await self._work.run()

    def _on_event(self, _: str, old: Obj | None, new: Obj | None) -> None:
        self._work.queue.add(meta.key(new or old or {}))

    async def _reconcile(self, key: str) -> float | None:
        existing = self._slices.existing(key)
        if existing is None:
            return 1.0
        endpoints = self._endpoints.store.get(key)
        mirrored = endpointslice_mirror_plan.is_mirrored(endpoints, self._services.store.get(key))
        plan = endpointslice_mirror_plan.plan(endpoints if mirrored else None, existing)
        await self._slices.carry_out(key, plan)
        return None
