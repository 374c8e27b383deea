"""The taint eviction loop: deletes pods that do not, or no longer, tolerate a NoExecute taint of their node.

Times count from the taint's `timeAdded`, so that a restart of this process grants nobody a longer stay.
"""

from __future__ import annotations

from api import meta
from api.builtin import NODES, PODS
from api.errors import NotFound
from api.meta import Obj
from client.reconciler import Reconciler
from controller import node_taints, pod_state
from controller.context import Context


class TaintEvictionLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._events = context.recorder("taint-eviction-controller")
        self._nodes = context.informer(NODES)
        self._pods = context.informer(PODS, "node")
        self._work = Reconciler("taint-eviction", self._reconcile, clock=context.clock, workers=8)
        self._scheduled: set[str] = set()  # pods that have been told they will have to go
        self._pods.on_event(self._on_pod)
        self._nodes.on_event(self._on_node)

    async def run(self) -> None:
        await self._work.run()

    def _on_pod(self, _: str, old: Obj | None, new: Obj | None) -> None:
        key = meta.key(new or old or {})
        node = self._nodes.store.get(pod_state.node_name(new)) if new else None
        if key in self._scheduled or (node is not None and node_taints.taints_of(node)):
            self._work.queue.add(key)

    def _on_node(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None and (old is None or node_taints.taints_of(old) != node_taints.taints_of(new)):
            for pod in self._pods.store.by_index("node", meta.name(new)):
                self._work.queue.add(meta.key(pod))

    async def _reconcile(self, key: str) -> float | None:
        pod = self._pods.store.get(key)
        node = self._nodes.store.get(pod_state.node_name(pod)) if pod else None
        if pod is None or node is None or meta.is_deleting(pod) or pod_state.is_terminal(pod):
            self._scheduled.discard(key)
            return None
        now = self._clock.now()
        tolerations = pod_state.spec(pod).get("tolerations") or []
        at = node_taints.evict_at(tolerations, node_taints.taints_of(node), now)
        if at is None:
            if key in self._scheduled:
                self._scheduled.discard(key)
                message = f"Cancelling deletion of Pod {meta.key(pod)}"
                self._events.event(pod, "Normal", "TaintManagerEviction", message)
            return None
        if at > now:
            self._scheduled.add(key)
            return (at - now).total_seconds()
        await self._evict(pod)
        self._scheduled.discard(key)
        return None

    async def _evict(self, pod: Obj) -> None:
        name, namespace = meta.name(pod), meta.namespace(pod)
        condition = {
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        }  # fmt: skip
        conditions = pod_state.copy_with_condition(pod, condition, self._clock.now())
        patch = {
            "metadata": {"uid": meta.uid(pod), "resourceVersion": pod["metadata"]["resourceVersion"]},
            "status": {"conditions": conditions},
        }
        try:
            await self._client.patch(PODS, name, patch, namespace=namespace, subresource="status")
            self._events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {meta.key(pod)}")
            await self._client.delete(PODS, name, namespace, uid=meta.uid(pod))
        except NotFound:
            return
