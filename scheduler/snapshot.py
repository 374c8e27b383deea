"""The cluster as the scheduler sees it: one row per node in numpy arrays, updated one row per event. PURE.

Pods count on their node from the moment they are *assumed* there; the watch later confirms it (nothing
changes) or a failed binding forgets it. Rows of removed nodes are reused; `alive` tells which rows are nodes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from api import meta, quantities
from api.meta import Obj
from scheduler.labels import LabelColumns, Mask
from scheduler.pod import HostPort, Pod, PodTerm, Taint
from scheduler.relations import ALL_NAMESPACES, Group, Relations
from scheduler.volumes import Volumes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
Term = TypeVar("Term", bound=Hashable)
_GROUPS = 256
_MASKS = 1024


class Change(Enum):
    """What happened to the cluster, as far as a pod that found no node may care."""

    NODE_ADDED = "node added"
    NODE_RESOURCES = "node allocatable changed"
    NODE_LABELS = "node labels changed"
    NODE_TAINTS = "node taints changed"
    POD_PLACED = "pod is on a node"
    POD_REMOVED = "pod no longer on its node"
    STORAGE = "claim, volume or class added or changed"


class Snapshot:
    def __init__(self, capacity: int = 64) -> None:
        self.resources: dict[str, int] = {"cpu": 0, "memory": 1, "ephemeral-storage": 2}
        self.names: list[str] = [""] * capacity
        self.row_of: dict[str, int] = {}
        self.alive: Mask = np.zeros(capacity, dtype=np.bool_)
        self.unschedulable: Mask = np.zeros(capacity, dtype=np.bool_)
        self.allocatable: Ints = np.zeros((3, capacity), dtype=np.int64)
        self.used: Ints = np.zeros((3, capacity), dtype=np.int64)
        self.weight: Ints = np.zeros((2, capacity), dtype=np.int64)
        self.room: Floats = np.zeros((2, capacity))  # (cpu, memory) allocatable less weight
        self.share: Floats = np.zeros((2, capacity))  # what one unit of each is of the whole node
        self.max_pods: Ints = np.zeros(capacity, dtype=np.int64)
        self.pod_count: Ints = np.zeros(capacity, dtype=np.int64)
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.taints: NDArray[np.int32] = np.zeros(capacity, dtype=np.int32)
        self.labels = LabelColumns(capacity)
        self.ports: dict[tuple[str, int], dict[int, list[str]]] = {}
        self.images: dict[str, dict[int, int]] = {}
        self._images_of: dict[int, tuple[str, ...]] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._pods: dict[str, tuple[Pod, str]] = {}
        self._by_node: dict[str, dict[str, Pod]] = {}
        self._by_namespace: dict[str, dict[str, Pod]] = {}
        self._taint_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self.relations = Relations()
        self.volumes = Volumes()
        self._groups: OrderedDict[Group, Ints] = OrderedDict()
        self._masks: dict[Hashable, Mask] = {}
        self.apart: dict[PodTerm, Ints] = {}
        """How many pods of each node want none of these pods near them."""
        self.company: dict[tuple[int, PodTerm], Ints] = {}
        """How many pods of each node would rather (not, below zero) have these pods near them."""

    @property
    def node_count(self) -> int:
        return len(self.row_of)

    # Nodes.

    def set_node(self, node: Obj) -> set[Change]:
        """Add or update; returns what about it changed that may help a waiting pod."""
        name = meta.name(node)
        spec, status = node.get("spec") or {}, node.get("status") or {}
        new = name not in self.row_of
        row = self._new_row(name) if new else self.row_of[name]
        changes = {Change.NODE_ADDED} if new else set()
        if self._set_allocatable(row, status.get("allocatable") or status.get("capacity") or {}):
            changes.add(Change.NODE_RESOURCES)
        if new or self.labels.get(row) != meta.labels(node):
            self.labels.set(row, dict(meta.labels(node)))
            changes.add(Change.NODE_LABELS)
        taints = self._taint_id(spec.get("taints") or ())
        unschedulable = bool(spec.get("unschedulable"))
        if taints != self.taints[row] or unschedulable != self.unschedulable[row]:
            self.taints[row], self.unschedulable[row] = taints, unschedulable
            changes.add(Change.NODE_TAINTS)
        self._set_images(row, status.get("images") or ())
        if changes - {Change.NODE_RESOURCES}:
            self._masks.clear()
        if new:
            for pod in self._by_node.get(name, {}).values():
                self._count(pod, row, 1)
            self._groups.clear()
        return changes

    def remove_node(self, name: str) -> None:
        """Its pods stay known: should the node come back before they are gone, they count again."""
        row = self.row_of.pop(name, None)
        if row is None:
            return
        for pod in self._by_node.get(name, {}).values():
            self._count(pod, row, -1)
        self._set_images(row, ())
        self.alive[row] = False
        self.names[row] = ""
        self.labels.set(row, {})
        self.taints[row] = 0
        self.unschedulable[row] = False
        self.allocatable[:, row] = 0
        self._weigh(row)
        self._free.append(row)
        self._masks.clear()
        self._groups.clear()

    def _new_row(self, name: str) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.row_of[name], self.names[row] = row, name
        self.alive[row] = True
        return row

    def _grow(self) -> None:
        before = len(self.names)
        more = before
        self.names += [""] * more
        for array in ("alive", "unschedulable", "max_pods", "pod_count", "taints"):
            setattr(self, array, np.pad(getattr(self, array), (0, more)))
        for terms in (self.apart, self.company):
            for term, counts in terms.items():
                terms[term] = np.pad(counts, (0, more))  # type: ignore[index]  # it is a key of this very dict
        for array in ("allocatable", "used", "weight", "room", "share"):
            setattr(self, array, np.pad(getattr(self, array), ((0, 0), (0, more))))
        self.labels.grow(before + more)
        self._free = list(range(before + more - 1, before - 1, -1))
        self._masks.clear()
        self._groups.clear()

    def _set_allocatable(self, row: int, allocatable: Mapping[str, Any]) -> bool:
        amounts = np.zeros(len(self.resources), dtype=np.int64)
        for resource, quantity in allocatable.items():
            if resource == "pods":
                continue
            at = self._resource(resource)
            if at >= len(amounts):
                amounts = np.pad(amounts, (0, at + 1 - len(amounts)))
            amounts[at] = quantities.millis(quantity) if resource == "cpu" else quantities.units(quantity)
        max_pods = quantities.units(allocatable.get("pods", 110))
        if max_pods == self.max_pods[row] and np.array_equal(amounts, self.allocatable[:, row]):
            return False
        self.allocatable[:, row] = amounts
        self.max_pods[row] = max_pods
        self._weigh(row)
        return True

    def _weigh(self, row: int) -> None:
        for at in (0, 1):
            whole = int(self.allocatable[at, row])
            self.room[at, row] = whole - int(self.weight[at, row])
            self.share[at, row] = 1.0 / whole if whole else 0.0

    def _resource(self, name: str) -> int:
        if name not in self.resources:
            self.resources[name] = len(self.resources)
            self.allocatable = np.pad(self.allocatable, ((0, 1), (0, 0)))
            self.used = np.pad(self.used, ((0, 1), (0, 0)))
        return self.resources[name]

    def _taint_id(self, taints: Any) -> int:
        found = tuple(Taint(t["key"], t.get("value") or "", t["effect"]) for t in taints)
        if found not in self._taint_ids:
            self._taint_ids[found] = len(self.taint_sets)
            self.taint_sets.append(found)
        return self._taint_ids[found]

    def _set_images(self, row: int, images: Any) -> None:
        names = tuple(name for image in images for name in image.get("names") or ())
        if names == self._images_of.get(row, ()):
            return
        for name in self._images_of.pop(row, ()):
            holders = self.images.get(name, {})
            holders.pop(row, None)
            if not holders:
                self.images.pop(name, None)
        if names:
            self._images_of[row] = names
        for image in images:
            for name in image.get("names") or ():
                self.images.setdefault(name, {})[row] = int(image.get("sizeBytes") or 0)

    # Pods.

    def place(self, pod: Pod, node: str) -> None:
        """Count `pod` on `node`: assumed, or seen there. Placing it again updates what it asks for."""
        before = self._pods.get(pod.uid)
        if before is not None:
            if before[1] == node and before[0].requests == pod.requests and before[0].labels == pod.labels:
                return
            self.forget(pod.uid)
        self._pods[pod.uid] = (pod, node)
        self.volumes.count(pod, 1)
        self._by_node.setdefault(node, {})[pod.uid] = pod
        self._by_namespace.setdefault(pod.namespace, {})[pod.uid] = pod
        row = self.row_of.get(node)
        if row is not None:
            self._count(pod, row, 1)

    def forget(self, uid: str) -> bool:
        """Count it no longer. False when it was not counted."""
        known = self._pods.pop(uid, None)
        if known is None:
            return False
        pod, node = known
        self.volumes.count(pod, -1)
        for index, at in ((self._by_node, node), (self._by_namespace, pod.namespace)):
            del index[at][uid]
            if not index[at]:
                del index[at]
        row = self.row_of.get(node)
        if row is not None:
            self._count(pod, row, -1)
        return True

    def node_of(self, uid: str) -> str:
        """Where the pod counts; "" when nowhere."""
        known = self._pods.get(uid)
        return known[1] if known else ""

    def _count(self, pod: Pod, row: int, sign: int) -> None:
        for resource, amount in pod.requests.items():
            at = self._resource(resource)
            self.used[at, row] += sign * amount
        self.weight[0, row] += sign * pod.weight[0]
        self.weight[1, row] += sign * pod.weight[1]
        self.room[0, row] -= sign * pod.weight[0]
        self.room[1, row] -= sign * pod.weight[1]
        self.pod_count[row] += sign
        for port in pod.ports:
            self._count_port(port, row, sign)
        for group, counts in self._groups.items():
            if group.holds(pod):
                counts[row] += sign
        for term in pod.apart:
            self._count_term(self.apart, term, row, sign)
        for wish in (*pod.company, *((1, term) for term in pod.near)):
            self._count_term(self.company, wish, row, sign)

    def _count_term(self, terms: dict[Term, Ints], term: Term, row: int, sign: int) -> None:
        counts = terms.get(term)
        if counts is None:
            counts = terms[term] = np.zeros(len(self.names), dtype=np.int64)
        counts[row] += sign
        if sign < 0 and not counts.any():
            del terms[term]

    def _count_port(self, port: HostPort, row: int, sign: int) -> None:
        rows = self.ports.setdefault((port.protocol, port.port), {})
        if sign > 0:
            rows.setdefault(row, []).append(port.ip)
            return
        rows[row].remove(port.ip)
        if not rows[row]:
            del rows[row]

    # Answers.

    def per_domain(self, topology: str, counts: Ints) -> Floats:
        """For each node, the sum of `counts` over the nodes with its value of the label; 0 without a value."""
        column = self.labels.column(topology)
        sums: Floats = np.bincount(column, weights=counts).astype(np.float64, copy=False)
        sums[0] = 0
        found: Floats = sums[column]
        return found

    def group(self, group: Group) -> Ints:
        """How many pods of the group each node holds. Kept up to date for the groups asked for lately."""
        counts = self._groups.get(group)
        if counts is None:
            counts = np.zeros(len(self.names), dtype=np.int64)
            everywhere = ALL_NAMESPACES in group.namespaces
            for namespace in self._by_namespace if everywhere else group.namespaces:
                for uid, pod in self._by_namespace.get(namespace, {}).items():
                    row = self.row_of.get(self._pods[uid][1])
                    if row is not None and group.holds(pod):
                        counts[row] += 1
            self._groups[group] = counts
            if len(self._groups) > _GROUPS:
                self._groups.popitem(last=False)
        else:
            self._groups.move_to_end(group)
        return counts

    def cached(self, key: Hashable, make: Callable[[], Mask]) -> Mask:
        """A mask that depends on labels, taints and the set of nodes alone: pods of one kind share it."""
        mask = self._masks.get(key)
        if mask is None:
            if len(self._masks) >= _MASKS:
                self._masks.clear()
            mask = self._masks[key] = make()
        return mask
