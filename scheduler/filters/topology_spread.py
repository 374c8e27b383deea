"""spec.topologySpreadConstraints with DoNotSchedule: no domain may get more than `maxSkew` ahead of the emptiest.

https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.filters import node_affinity, taints
from scheduler.labels import Mask
from scheduler.pod import Pod, Spread
from scheduler.relations import Group
from scheduler.snapshot import Ints, Snapshot

_REASON = "node(s) didn't match pod topology spread constraints"


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    hard = [c for c in pod.spread if c.hard]
    if not hard:
        return None
    labelled = _labelled(pod, snapshot)
    mask = labelled.copy()
    for constraint in hard:
        mask &= _within_skew(pod, constraint, snapshot, labelled)
    return mask


def _labelled(pod: Pod, snapshot: Snapshot) -> Mask:
    mask = snapshot.alive.copy()
    for constraint in pod.spread:
        if constraint.hard:
            mask &= snapshot.labels.column(constraint.topology) > 0
    return mask


def _within_skew(pod: Pod, constraint: Spread, snapshot: Snapshot, labelled: Mask) -> Mask:
    counted = labelled
    if constraint.honor_affinity:
        counted = _and(counted, node_affinity.passes(pod, snapshot))
    if constraint.honor_taints:
        counted = _and(counted, taints.passes(pod, snapshot))
    domains = snapshot.labels.column(constraint.topology)
    if not counted.any():
        return np.zeros(len(domains), dtype=np.bool_)
    counts = np.where(counted, snapshot.group(Group((pod.namespace,), "", constraint.selector)), 0)
    per_domain = np.bincount(domains, weights=counts)
    known = np.unique(domains[counted])
    fewest = per_domain[known].min() if len(known) >= constraint.min_domains else 0
    itself = int(constraint.selector.matches(pod.labels))
    within: Mask = per_domain[domains] + itself - fewest <= constraint.skew
    return within


def _and(mask: Mask, other: Mask | None) -> Mask:
    return mask if other is None else mask & other


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    labelled = _labelled(pod, snapshot)
    for row in rows:
        yield _REASON if labelled[row] else f"{_REASON} (missing required label)"
