"""Preferred pod affinity and anti-affinity: the pod's own wishes, and those of the pods that are there.

A pod that requires this one near it counts as a wish of weight 1, as upstream's default has it.
"""

from __future__ import annotations

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores
from scheduler.snapshot import Snapshot


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    if not pod.company and not snapshot.company:
        return None
    total = np.zeros(len(snapshot.names))
    for weight, term in pod.company:
        total += weight * snapshot.per_domain(term.topology, snapshot.group(snapshot.relations.meant_by(term)))
    for (weight, term), counts in snapshot.company.items():
        if snapshot.relations.meant_by(term).holds(pod):
            total += weight * snapshot.per_domain(term.topology, counts)
    seen = total[possible]
    low, high = float(seen.min()), float(seen.max())
    if low == high:
        return None
    scaled: Scores = np.floor((total - low) * (100.0 / (high - low)) + 1e-9)
    return scaled
