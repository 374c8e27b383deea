"""The disruption loop: keeps in each PodDisruptionBudget's status how many of its pods may go, which is what the
eviction of a pod asks. It also takes back the announcement of a disruption that never came.
"""

from __future__ import annotations

import asyncio

from api import meta
from api.builtin import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from api.errors import ApiError, Conflict, NotFound
from api.meta import Obj
from api.registry import Resource
from api.selectors import Selector, from_label_selector
from client.reconciler import Reconciler
from controller import disruption_plan, pod_state
from controller.context import Context

_SCALED = (REPLICATION_CONTROLLERS, REPLICA_SETS, STATEFUL_SETS, DEPLOYMENTS)


class Unscaled(Exception):
    """A controller whose size cannot be told."""


class DisruptionLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._discovery = context.client, context.clock, context.discovery
        self._events = context.recorder("controllermanager")
        self._budgets = context.informer(DISRUPTION_BUDGETS, "namespace")
        self._pods = context.informer(PODS, "namespace")
        self._owners = {row.kind: context.informer(row) for row in _SCALED}
        self._work = Reconciler("disruption", self._reconcile, clock=context.clock)
        self._announced = Reconciler("stale-pod-disruption", self._take_back, clock=context.clock)
        self._budgets.on_event(self._on_budget)
        self._pods.on_event(self._on_pod)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work.run())
            group.create_task(self._announced.run())

    def _on_budget(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._work.queue.add(meta.key(new))

    def _on_pod(self, _: str, old: Obj | None, new: Obj | None) -> None:
        for pod in (old, new):
            if pod is None:
                continue
            for budget in self._budgets.store.by_index("namespace", meta.namespace(pod)):
                if _selector(budget).matches(meta.labels(pod)):
                    self._work.queue.add(meta.key(budget))
        if new is not None and disruption_plan.stale_condition_in(new, self._clock.now()) is not None:
            self._announced.queue.add(meta.key(new))

    async def _reconcile(self, key: str) -> float | None:
        budget = self._budgets.store.get(key)
        if budget is None:
            return None
        selector, now = _selector(budget), self._clock.now()
        mine = self._pods.store.by_index("namespace", meta.namespace(budget))
        pods = [pod for pod in mine if selector.matches(meta.labels(pod))]
        again: float | None = None
        try:
            scales = await self._scales(pods) if disruption_plan.needs_scale(budget) else {}
            wanted = disruption_plan.expected(budget, pods, scales)
        except (Unscaled, ValueError) as error:
            message = f"Failed to calculate the number of expected pods: {error}"
            self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", message)
            status = disruption_plan.failed(budget, str(error), now)
        else:
            disrupted, again = disruption_plan.still_disrupted(budget, pods, now)
            status = disruption_plan.status(budget, pods, wanted, disrupted, now)
            self._report(budget, pods, wanted.unmanaged)
        if status != (budget.get("status") or {}):
            await self._client.update(DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")
        return again

    def _report(self, budget: Obj, pods: list[Obj], unmanaged: list[str]) -> None:
        if not pods:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        if unmanaged:
            text = (
                f"Pods selected by this PodDisruptionBudget (selector: {_selector(budget)}) were found to be "
                "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
                'undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an '
                "integer value."
            )
            self._events.event(budget, "Warning", "UnmanagedPods", text)

    async def _scales(self, pods: list[Obj]) -> dict[str, int]:
        """What the controllers of `pods` want, by UID. Unscaled when one of them is not to be found."""
        found: dict[str, int] = {}
        known: set[str] = set()
        for pod in pods:
            owner = meta.controller_of(pod)
            if owner is None or owner["uid"] in known:
                continue
            known.add(owner["uid"])
            scale = await self._scale(owner, meta.namespace(pod))
            if scale is None:
                raise Unscaled(f'found no controllers for pod "{meta.name(pod)}"')
            found[scale[0]] = scale[1]
        return found

    async def _scale(self, reference: Obj, namespace: str) -> tuple[str, int] | None:
        """(UID, replicas) of a pod's controller; of the Deployment above it when there is one."""
        group = str(reference.get("apiVersion", "")).rpartition("/")[0]
        row = next((r for r in _SCALED if (r.group, r.kind) == (group, reference["kind"])), None)
        if row is None:
            return await self._scale_of_custom(group, reference, namespace)
        owner = self._owners[row.kind].store.get(f"{namespace}/{reference['name']}")
        if owner is None or meta.uid(owner) != reference["uid"]:
            return None
        above = meta.controller_of(owner)
        if row is REPLICA_SETS and above is not None and above["kind"] == DEPLOYMENTS.kind:
            return await self._scale(above, namespace)
        return meta.uid(owner), int(owner["spec"].get("replicas", 1))

    async def _scale_of_custom(self, group: str, reference: Obj, namespace: str) -> tuple[str, int] | None:
        row: Resource | None = self._discovery.of(group, reference["kind"])
        if row is None:
            return None
        if "scale" not in row.subresources:
            raise Unscaled(f"{row.qualified} does not implement the scale subresource")
        try:
            scale = await self._client.get(row, reference["name"], namespace, subresource="scale")
        except NotFound:
            return None
        except ApiError as error:
            raise Unscaled(error.message) from error
        same = scale["metadata"].get("uid") in (None, "", reference["uid"])
        return (reference["uid"], int((scale.get("spec") or {}).get("replicas", 0))) if same else None

    async def _take_back(self, key: str) -> float | None:
        pod = self._pods.store.get(key)
        wait = disruption_plan.stale_condition_in(pod, self._clock.now()) if pod is not None else None
        if pod is None or wait is None or wait > 0:
            return wait
        condition = {"type": "DisruptionTarget", "status": "False"}
        conditions = pod_state.copy_with_condition(pod, condition, self._clock.now())
        patch = {
            "metadata": {"uid": meta.uid(pod), "resourceVersion": pod["metadata"]["resourceVersion"]},
            "status": {"conditions": conditions},
        }
        namespace = meta.namespace(pod)
        try:
            await self._client.patch(PODS, meta.name(pod), patch, namespace=namespace, subresource="status")
        except (Conflict, NotFound):
            return 1.0
        return None


def _selector(budget: Obj) -> Selector:
    return from_label_selector(budget["spec"].get("selector"))
