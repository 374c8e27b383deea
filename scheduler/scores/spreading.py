"""Prefer nodes (and zones) with few pods of the same owner, or of the same Services for a pod without one.

Upstream's default topology spread constraints: hostname with skew 3, zone with skew 5, both ScheduleAnyway.
"""

from __future__ import annotations

import math

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores
from scheduler.snapshot import ZONE, Snapshot

_HOST_SKEW, _ZONE_SKEW = 3, 5
_EXACT = 1e-9  # what is a whole number must not fall below it by rounding


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    group = snapshot.group_of(pod)
    if group is None:
        return None
    counts = snapshot.group(group)
    crowd = counts * math.log(np.count_nonzero(possible) + 2) + (_HOST_SKEW - 1)
    zones = snapshot.labels.column(ZONE)
    if zones.any():
        per_zone = np.bincount(zones, weights=counts)
        known = int((np.bincount(zones[possible]) > 0)[1:].sum())
        in_zone = per_zone[zones] * math.log(known + 2) + (_ZONE_SKEW - 1)
        crowd = crowd + np.where(zones > 0, in_zone, 0)
    spread: Scores = np.rint(crowd)
    seen = spread[possible]
    low, high = float(seen.min()), float(seen.max())  # never 0: the skews are in it
    spread *= -100.0 / high
    spread += 100.0 * (high + low) / high + _EXACT
    return np.floor(spread, out=spread)
