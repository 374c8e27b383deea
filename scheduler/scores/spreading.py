"""Prefer domains with few pods of one's kind: the pod's own ScheduleAnyway topology spread constraints.

A pod without any constraint is spread among the pods of its owner, or of its Services, by upstream's defaults:
hostname with skew 3 and zone with skew 5.
"""

from __future__ import annotations

import math

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.relations import Group
from scheduler.scores.normal import Scores
from scheduler.snapshot import HOSTNAME, ZONE, Floats, Snapshot

_DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))
_EXACT = 1e-9  # what is a whole number must not fall below it by rounding


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    if pod.spread:
        soft = [(c.topology, c.skew, Group((pod.namespace,), "", c.selector)) for c in pod.spread if not c.hard]
    else:
        group = snapshot.relations.kin(pod)
        soft = [] if group is None else [(topology, skew, group) for topology, skew in _DEFAULTS]
    if not soft:
        return None
    rated = possible.copy()
    crowd = np.zeros(len(snapshot.names))
    for topology, skew, group in soft:
        domains = snapshot.labels.column(topology)
        if pod.spread:  # the defaults do not demand every label
            rated &= domains > 0
        crowd += _crowd(snapshot, possible, topology, skew, group)
    if not rated.any():
        return None
    spread: Scores = np.rint(crowd)
    seen = spread[rated]
    low, high = float(seen.min()), float(seen.max())
    if high == 0:
        return np.where(rated, 100.0, 0.0)
    spread *= -100.0 / high
    spread += 100.0 * (high + low) / high + _EXACT
    np.floor(spread, out=spread)
    return spread if rated is possible else np.where(rated, spread, 0.0)


def _crowd(snapshot: Snapshot, possible: Mask, topology: str, skew: int, group: Group) -> Floats:
    """Many domains make each pod weigh more, so that hosts matter beside zones."""
    counts = snapshot.group(group)
    domains = snapshot.labels.column(topology)
    if topology == HOSTNAME:
        weight = math.log(np.count_nonzero(possible) + 2)
        return counts.astype(np.float64) * weight + (skew - 1)
    if not domains.any():
        return np.zeros(len(domains))
    known = np.count_nonzero(np.bincount(domains[possible])[1:])
    crowd = snapshot.per_domain(topology, counts) * math.log(known + 2) + (skew - 1)
    return np.where(domains > 0, crowd, 0.0)
