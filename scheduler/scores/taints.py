"""Prefer nodes with few PreferNoSchedule taints that the pod does not tolerate."""

from __future__ import annotations

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores, to_hundred
from scheduler.snapshot import Snapshot


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    if not any(t.effect == "PreferNoSchedule" for taints in snapshot.taint_sets for t in taints):
        return None
    table = np.array(
        [
            sum(t.effect == "PreferNoSchedule" and not any(o.tolerates(t) for o in pod.tolerations) for t in taints)
            for taints in snapshot.taint_sets
        ]
    )
    return to_hundred(table[snapshot.taints], possible, reverse=True)
