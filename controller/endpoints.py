"""The endpoints loop: an Endpoints object for each Service that has a selector. Those without stay untouched."""

from __future__ import annotations

from api import meta
from api.builtin import ENDPOINTS, PODS, SERVICES
from api.errors import ApiError, NotFound
from api.meta import Obj
from client.reconciler import Reconciler
from controller import backends, endpoints_plan, service_events
from controller.context import Context, namespace_is_terminating


class EndpointsLoop:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("endpoint-controller")
        self._services = context.informer(SERVICES, "namespace")
        self._pods = context.informer(PODS, "namespace")
        self._endpoints = context.informer(ENDPOINTS)
        self._work = Reconciler("endpoints", self._reconcile, clock=context.clock, workers=3)
        service_events.follow(self._services, self._pods, self._work.queue.add)
        self._endpoints.on_event(self._on_endpoints)

    async def run(self) -> None:
        await self._work.run()

    def _on_endpoints(self, _: str, old: Obj | None, new: Obj | None) -> None:
        self._work.queue.add(meta.key(new or old or {}))

    async def _reconcile(self, key: str) -> float | None:
        service = self._services.store.get(key)
        current = self._endpoints.store.get(key)
        if service is None:
            await self._remove(current)
            return None
        if not backends.has_selector(service) or meta.is_deleting(service):
            return None
        wanted = endpoints_plan.build(service, self._pods.store.by_index("namespace", meta.namespace(service)))
        if current is None:
            await self._create(service, wanted)
        elif not endpoints_plan.same(current, wanted):
            annotations = dict(meta.annotations(current))
            annotations.pop(endpoints_plan.OVER_CAPACITY, None)
            metadata = {
                **current["metadata"],
                "labels": meta.labels(wanted),
                "annotations": annotations | meta.annotations(wanted),
            }
            await self._client.update(ENDPOINTS, {**wanted, "metadata": metadata})
        return None

    async def _create(self, service: Obj, wanted: Obj) -> None:
        try:
            await self._client.create(ENDPOINTS, wanted)
        except ApiError as error:
            if namespace_is_terminating(error):
                return
            message = f"Failed to create endpoint for service {meta.key(service)}: {error.message}"
            self._events.event(service, "Warning", "FailedToCreateEndpoint", message)
            raise

    async def _remove(self, endpoints: Obj | None) -> None:
        """The service is gone; what was never ours may have been made ahead of its service."""
        if endpoints is None or meta.labels(endpoints).get(endpoints_plan.MANAGED_BY) != endpoints_plan.MANAGER:
            return
        try:
            await self._client.delete(
                ENDPOINTS, meta.name(endpoints), meta.namespace(endpoints), uid=meta.uid(endpoints)
            )
        except NotFound:
            return
