"""The pod garbage loop: removes, every 20 seconds, what `pod_gc_plan` finds. It deletes at once, without grace."""

from __future__ import annotations

from api import meta
from api.builtin import NODES, PODS
from api.errors import NotFound
from api.meta import Obj
from client import log
from controller import pod_gc_plan, pod_state
from controller.context import Context, in_parallel, periodically

PERIOD = 20.0
_log = log.get("pod-gc")


class PodGcLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._pods = context.informer(PODS)
        self._nodes = context.informer(NODES)
        self._quarantine = pod_gc_plan.Quarantine()

    async def run(self) -> None:
        await periodically(self._clock, "pod-gc", PERIOD, self.collect)

    async def collect(self) -> None:
        """One round."""
        pods = self._pods.store.list()
        nodes = {meta.name(node): node for node in self._nodes.store.list()}
        gone = self._quarantine.gone(pods, nodes, self._clock.monotonic())
        gone = {name for name in gone if await self._is_gone(name)}
        doomed: dict[str, tuple[Obj, str]] = {}
        for why, found in (
            ("terminated", pod_gc_plan.surplus_terminated(pods)),
            ("unscheduled", pod_gc_plan.unscheduled_terminating(pods)),
            ("out of service", pod_gc_plan.out_of_service_terminating(pods, nodes)),
            ("node is gone", [pod for pod in pods if pod_state.node_name(pod) in gone]),
        ):
            doomed |= {meta.uid(pod): (pod, why) for pod in found}
        errors = await in_parallel([self._remove(pod, why) for pod, why in doomed.values()])
        if errors:
            raise errors[0]

    async def _is_gone(self, name: str) -> bool:
        """By the server's own word: our cache may be behind."""
        try:
            await self._client.get(NODES, name)
        except NotFound:
            return True
        return False

    async def _remove(self, pod: Obj, why: str) -> None:
        name, namespace, uid = meta.name(pod), meta.namespace(pod), meta.uid(pod)
        _log.info("removing a pod", pod=meta.key(pod), why=why)
        try:
            if why in ("node is gone", "out of service") and not pod_state.is_terminal(pod):
                await self._mark_failed(pod, why)
            await self._client.delete(PODS, name, namespace, grace_period=0, uid=uid)
        except NotFound:
            return

    async def _mark_failed(self, pod: Obj, why: str) -> None:
        """Whoever counts failures has to learn that this one did not end by itself."""
        status: Obj = {"phase": "Failed"}
        if why == "node is gone":
            condition = {
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
            }  # fmt: skip
            status["conditions"] = pod_state.copy_with_condition(pod, condition, self._clock.now())
        patch = {
            "metadata": {"uid": meta.uid(pod), "resourceVersion": pod["metadata"]["resourceVersion"]},
            "status": status,
        }
        await self._client.patch(PODS, meta.name(pod), patch, namespace=meta.namespace(pod), subresource="status")
