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
    shares = (snapshot.used[:2] + np.array([[cpu], [memory]])) * snapshot.share
    np.minimum(shares, 1.0, out=shares)
    apart: Scores = shares[0] - shares[1]
    np.abs(apart, out=apart)
    apart *= -50.0
    apart += 100.0
    return np.floor(apart, out=apart)
