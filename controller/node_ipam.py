"""The node IPAM loop: gives each Node a part of the cluster's pod address range, never the same to two.

What nodes already hold is occupied before the first part is given out; a part is free again when its node is
deleted.
"""

from __future__ import annotations

from api import meta
from api.builtin import NODES
from api.meta import Obj
from client import log
from client.reconciler import Reconciler
from controller.cidr_set import CidrSet, Exhausted
from controller.context import Context

_log = log.get("node-ipam")


def cidrs_of(node: Obj) -> list[str]:
    spec = node.get("spec") or {}
    return list(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))


class NodeIpamLoop:
    def __init__(self, context: Context) -> None:
        options = context.options
        self._client = context.client
        self._events = context.recorder("cidrAllocator")
        self._cidrs = CidrSet(options.cluster_cidr, options.node_cidr_mask_size)
        self._held: dict[str, tuple[str, list[str]]] = {}  # node name → (node UID, what it holds)
        self._nodes = context.informer(NODES)
        self._work = Reconciler("node-ipam", self._reconcile, clock=context.clock)
        self._nodes.on_event(self._on_node)

    async def run(self) -> None:
        await self._work.run()

    def _on_node(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        node = new or old
        assert node is not None
        if kind == "delete":
            self._release(meta.name(node))
            for other in self._nodes.store.list():  # somebody may have waited for it
                self._work.queue.add(meta.name(other))
            return
        if cidrs_of(node):
            self._occupy(node)
        else:
            self._work.queue.add(meta.name(node))

    def _occupy(self, node: Obj) -> None:
        name, cidrs = meta.name(node), cidrs_of(node)
        if self._held.get(name) == (meta.uid(node), cidrs):
            return
        self._release(name)
        for cidr in cidrs:
            if not self._cidrs.occupy(cidr):
                _log.error("two nodes hold the same addresses", node=name, cidr=cidr)
        self._held[name] = (meta.uid(node), cidrs)

    def _release(self, name: str) -> None:
        _, cidrs = self._held.pop(name, ("", []))
        others = {cidr for _, held in self._held.values() for cidr in held}
        for cidr in cidrs:
            if cidr not in others:
                self._cidrs.release(cidr)

    async def _reconcile(self, name: str) -> float | None:
        node = self._nodes.store.get(name)
        if node is None or cidrs_of(node):
            return None
        if name in self._held:
            cidr = self._held[name][1][0]  # given before, and the write failed or is not seen yet
        else:
            try:
                cidr = self._cidrs.allocate()
            except Exhausted as error:
                message = f"Node {name} status is now: CIDRNotAvailable"
                self._events.event(node, "Normal", "CIDRNotAvailable", message)
                _log.error("no addresses for a node", node=name, why=str(error))
                return 60.0
            self._held[name] = (meta.uid(node), [cidr])
        patch = {
            "metadata": {"uid": meta.uid(node)},
            "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        }
        await self._client.patch(NODES, name, patch)
        _log.info("pod addresses assigned", node=name, cidr=cidr)
        return None
