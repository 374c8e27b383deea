"""Writing a plan for EndpointSlices, and knowing when the cache has seen it."""

from __future__ import annotations

from api import meta
from api.builtin import ENDPOINT_SLICES
from api.errors import ApiError, NotFound
from api.meta import Obj
from client.reconciler import Reconciler
from controller.context import Context, namespace_is_terminating
from controller.slice_packing import MANAGED_BY, SERVICE_NAME, Plan
from controller.written import Written


class SliceWriter:
    """The slices that `manager` keeps, by the service they are for (`namespace/name`). Changes of them wake
    that service's key."""

    def __init__(self, context: Context, manager: str, work: Reconciler) -> None:
        self._client, self._manager, self._queue = context.client, manager, work.queue
        self._written = Written(context.clock)
        self._slices = context.informer(ENDPOINT_SLICES, "service")
        self._slices.on_event(self._on_slice)

    def _on_slice(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        for slice_ in (old, new):
            service = meta.labels(slice_).get(SERVICE_NAME) if slice_ else None
            if slice_ is not None and service:
                key = f"{meta.namespace(slice_)}/{service}"
                if kind == "delete":
                    self._written.drop(key, meta.key(slice_))
                self._queue.add(key)

    def existing(self, key: str) -> list[Obj] | None:
        """The service's slices; None while the cache has not seen all that we wrote for it. Its key is queued
        again when it has."""
        if self._written.is_behind(key, self._slices.store):
            return None
        found = self._slices.store.by_index("service", key)
        return [s for s in found if meta.labels(s).get(MANAGED_BY) == self._manager]

    async def carry_out(self, key: str, plan: Plan) -> None:
        for slice_ in plan.create:
            try:
                self._written.note(key, await self._client.create(ENDPOINT_SLICES, slice_))
            except ApiError as error:
                if namespace_is_terminating(error):
                    return
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
