"""The filters and scores in force, in order. Adding one is one file and one row here. PURE.

A filter says over all nodes where a pod may run. The first filter that rejects a node gives the reason.
`helped_by` are the changes of the cluster after which a pod it rejected is worth trying again; `movable` means
that removing pods from a node could change its mind.
A score rates all nodes from 0 to 100; `weight` is upstream's default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scheduler.filters import (
    host_ports,
    node_affinity,
    node_name,
    pod_affinity,
    resources,
    taints,
    topology_spread,
    unschedulable,
    volume_binding,
    volume_restrictions,
    volume_zone,
)
from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores import balanced, images, least_allocated, spreading
from scheduler.scores import node_affinity as preferred_affinity
from scheduler.scores import pod_affinity as preferred_company
from scheduler.scores import taints as preferred_taints
from scheduler.scores.normal import Scores
from scheduler.snapshot import Change, Ints, Snapshot


@dataclass(frozen=True, slots=True)
class Filter:
    name: str
    passes: Callable[[Pod, Snapshot], Mask | None]  # None: every node
    reasons: Callable[[Pod, Snapshot, Ints], Iterable[str]]  # one or more for each of the rows it rejected
    helped_by: frozenset[Change]
    movable: bool = False
    rules_out: Callable[[Pod, Snapshot], str] | None = None
    """Why the pod can be nowhere, whatever the nodes are; "" when it can. Asked before any filter."""


@dataclass(frozen=True, slots=True)
class Score:
    name: str
    weight: int
    score: Callable[[Pod, Snapshot, Mask], Scores | None]  # None: has no opinion


_ADDED, _LABELS, _TAINTS = Change.NODE_ADDED, Change.NODE_LABELS, Change.NODE_TAINTS
_ROOM = frozenset({_ADDED, Change.NODE_RESOURCES, Change.POD_REMOVED})
_STORAGE = frozenset({_ADDED, _LABELS, Change.STORAGE})
_NEIGHBOURS = frozenset({_ADDED, _LABELS, _TAINTS, Change.POD_PLACED, Change.POD_REMOVED})

FILTERS = (
    Filter("NodeUnschedulable", unschedulable.passes, unschedulable.reasons, frozenset({_ADDED, _TAINTS})),
    Filter("NodeName", node_name.passes, node_name.reasons, frozenset({_ADDED})),
    Filter("TaintToleration", taints.passes, taints.reasons, frozenset({_ADDED, _TAINTS})),
    Filter("NodeAffinity", node_affinity.passes, node_affinity.reasons, frozenset({_ADDED, _LABELS})),
    Filter("NodePorts", host_ports.passes, host_ports.reasons, frozenset({_ADDED, Change.POD_REMOVED}), True),
    Filter("NodeResourcesFit", resources.passes, resources.reasons, _ROOM, True),
    Filter("VolumeRestrictions", volume_restrictions.passes, volume_restrictions.reasons,
           frozenset({_ADDED, Change.POD_REMOVED, Change.STORAGE}), True),
    Filter("VolumeBinding", volume_binding.passes, volume_binding.reasons, _STORAGE,
           rules_out=volume_binding.rules_out),
    Filter("VolumeZone", volume_zone.passes, volume_zone.reasons, _STORAGE),
    Filter("PodTopologySpread", topology_spread.passes, topology_spread.reasons, _NEIGHBOURS, True),
    Filter("InterPodAffinity", pod_affinity.passes, pod_affinity.reasons, _NEIGHBOURS, True),
)  # fmt: skip

SCORES = (
    Score("TaintToleration", 3, preferred_taints.score),
    Score("NodeAffinity", 2, preferred_affinity.score),
    Score("NodeResourcesFit", 1, least_allocated.score),
    Score("PodTopologySpread", 2, spreading.score),
    Score("InterPodAffinity", 2, preferred_company.score),
    Score("NodeResourcesBalancedAllocation", 1, balanced.score),
    Score("ImageLocality", 1, images.score),
)

RULING_OUT = tuple((f.name, f.rules_out) for f in FILTERS if f.rules_out is not None)
HELPED_BY = {f.name: f.helped_by for f in FILTERS}
