"""Prefer nodes whose cpu and memory would be used in like shares, so that neither is left stranded."""

from __future__ import annotations

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores
from scheduler.snapshot import Snapshot


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    cpu, memory = pod.requests.get("cpu", 0), pod.requests.get("memory", 0)
    if not cpu and not memory:
        return None
    wanted = np.array([[cpu], [memory]], dtype=np.int64)
    allocatable = np.maximum(snapshot.allocatable[:2], 1)
    shares = np.minimum((snapshot.used[:2] + wanted) / allocatable, 1.0)
    balanced: Scores = np.floor((1.0 - np.abs(shares[0] - shares[1]) / 2) * 100.0)
    return balanced
