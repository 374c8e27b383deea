"""The node lifecycle loop: notices silent nodes, taints nodes by their conditions, and takes the pods of a node
that is cut off out of service: phase Unknown, reason NodeLost, until the node is back.

Evicting pods is the taint eviction loop's work. The judgement is in node_health, node_taints, eviction_rate.
"""

from __future__ import annotations

import asyncio

from api import meta
from api.builtin import LEASES, NODES, PODS
from api.errors import Conflict, NotFound
from api.meta import Obj
from client import log
from client.reconciler import Reconciler
from controller import eviction_rate, node_health, node_taints, pod_state
from controller.context import Context, in_parallel, periodically
from controller.eviction_rate import Bucket, Zone
from controller.node_health import Beat

STARTUP_GRACE = 60.0  # for a node that has not posted any status yet
KUBELET_FIRST = 10.0  # a kubelet that returns gets so long to correct its pods' status itself

STANDSTILL = 5.0  # a round that comes so late was not merely slow

_log = log.get("node-lifecycle")


class NodeLifecycleLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._options = context.client, context.clock, context.options
        self._events = context.recorder("node-controller")
        self._nodes = context.informer(NODES)
        self._pods = context.informer(PODS, "node")
        self._leases = context.informers.of(LEASES, namespace="kube-node-lease")
        self._work = Reconciler("node-lifecycle", self._reconcile, clock=context.clock, workers=4)
        self._beats: dict[str, Beat] = {}
        self._buckets: dict[str, Bucket] = {}
        self._went_down: set[str] = set()  # nodes whose pods have to hear of it once
        self._back_since: dict[str, float] = {}  # nodes that speak again and still have pods that we marked
        self._all_down = False
        self._looked_at = context.clock.monotonic()
        self._nodes.on_event(self._on_node)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work.run())
            group.create_task(
                periodically(self._clock, "node-lifecycle", self._options.node_monitor_period, self._monitor)
            )

    def _on_node(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        node = new or old
        assert node is not None
        name = meta.name(node)
        if kind == "add":
            self._tell(node, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        elif kind == "delete":
            self._tell(node, "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
            for known in (self._beats, self._back_since):
                known.pop(name, None)
            self._went_down.discard(name)
        elif old and new and node_health.ready_status(old) == "True" != node_health.ready_status(new):
            self._tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
            self._went_down.add(name)
        self._work.queue.add(name)

    def _tell(self, node: Obj, reason: str, message: str) -> None:
        self._events.event(node, "Normal", reason, message)

    async def _monitor(self) -> None:
        """One look at every node. Writing Unknown is the only write here; the rest is the reconciler's."""
        at = self._clock.monotonic()
        stood_still = at - self._looked_at - self._options.node_monitor_period
        if stood_still > STANDSTILL:  # a suspended machine, a paused process
            self._beats = node_health.after_standstill(self._beats, stood_still)
        self._looked_at = at
        nodes = self._nodes.store.list()
        self._set_rates(nodes)
        for node in nodes:
            lease = self._leases.store.get(f"kube-node-lease/{meta.name(node)}")
            known = self._beats.get(meta.name(node))
            self._beats[meta.name(node)] = node_health.observe(known, node, lease, at)
        errors = await in_parallel([self._say_silent(node) for node in nodes if self._is_silent(node)])
        for error in errors:
            if not isinstance(error, (Conflict, NotFound)):  # those mean that it spoke, or left, just now
                raise error
        for node in nodes:
            if node_health.ready_status(node) != "True" or meta.name(node) in self._back_since:
                self._work.queue.add(meta.name(node))

    async def _say_silent(self, node: Obj) -> None:
        conditions = node_health.silent_conditions(node, self._clock.now())
        if conditions is None:
            return
        name = meta.name(node)
        _log.warning("node is silent", node=name, since=self._beats[name].mark[0])
        patch = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "status": {"conditions": conditions},
        }
        await self._client.patch(NODES, name, patch, subresource="status")

    def _is_silent(self, node: Obj) -> bool:
        beat = self._beats.get(meta.name(node))
        grace = self._options.node_monitor_grace_period
        if not node_health.ready_status(node):
            grace = max(grace, STARTUP_GRACE)
        return beat is not None and node_health.is_silent(beat, self._clock.monotonic(), grace)

    def _set_rates(self, nodes: list[Obj]) -> None:
        zones: dict[str, list[Obj]] = {}
        for node in nodes:
            zones.setdefault(eviction_rate.zone_of(node), []).append(node)
        states = {zone: eviction_rate.state(members) for zone, members in zones.items()}
        all_down = bool(states) and all(state is Zone.FULL for state in states.values())
        if all_down != self._all_down:
            _log.warning("every node is not ready: evicting nothing" if all_down else "evicting again")
        self._all_down = all_down
        for zone, members in zones.items():
            per_second = eviction_rate.rate(states[zone], len(members), all_full=all_down)
            self._buckets.setdefault(zone, Bucket()).set_rate(per_second, self._clock.monotonic())

    async def _reconcile(self, name: str) -> float | None:
        node = self._nodes.store.get(name)
        if node is None:
            return None
        await self._set_taints(node)
        return await self._mark_pods(node)

    async def _set_taints(self, node: Obj) -> None:
        if self._all_down:
            wanted = node_taints.without_eviction(node)
            wanted = node_taints.wanted(_with_taints(node, wanted), self._clock.now(), may_evict=False)
        else:
            wanted = node_taints.wanted(node, self._clock.now(), may_evict=self._may_evict(node))
        if wanted == node_taints.taints_of(node):
            return
        patch = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": wanted or None},
        }
        await self._client.patch(NODES, meta.name(node), patch)

    def _may_evict(self, node: Obj) -> bool:
        due = node_taints.no_execute_key(node)
        if not due or node_taints.has(node, due, "NoExecute"):
            return False
        bucket = self._buckets.get(eviction_rate.zone_of(node))
        return bucket is not None and bucket.take(self._clock.monotonic())

    async def _mark_pods(self, node: Obj) -> float | None:
        name, now = meta.name(node), self._clock.now()
        ready = node_health.ready_status(node)
        pods = self._pods.store.by_index("node", name)
        wait: float | None = None
        if ready == "Unknown" and self._is_silent(node):
            self._back_since.pop(name, None)
            patches = [(pod, node_health.lost_status(pod, now)) for pod in pods]
        elif ready != "True" and name in self._went_down:
            patches = [(pod, node_health.not_ready_status(pod, now)) for pod in pods]
        elif ready in ("True", "False") and any(node_health.is_marked(pod) for pod in pods):
            since = self._back_since.setdefault(name, self._clock.monotonic())
            wait = since + KUBELET_FIRST - self._clock.monotonic()
            if wait > 0:
                return wait
            patches = [(pod, node_health.found_status(pod, now, node_is_ready=ready == "True")) for pod in pods]
        else:
            self._back_since.pop(name, None)
            patches = []
        errors = await in_parallel([self._patch_pod(pod, status) for pod, status in patches if status])
        if errors:
            raise errors[0]
        self._went_down.discard(name)
        return None

    async def _patch_pod(self, pod: Obj, status: Obj) -> None:
        """Only if the pod is as we saw it: a kubelet that spoke meanwhile knows better."""
        patch = {
            "metadata": {"uid": meta.uid(pod), "resourceVersion": pod["metadata"]["resourceVersion"]},
            "status": status,
        }
        try:
            await self._client.patch(PODS, meta.name(pod), patch, namespace=meta.namespace(pod), subresource="status")
        except NotFound:
            return
        if pod_state.is_ready(pod) and "conditions" in status:
            self._events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _with_taints(node: Obj, taints: list[Obj]) -> Obj:
    return {**node, "spec": {**(node.get("spec") or {}), "taints": taints}}
