"""Prefer nodes with much cpu and memory left after the pod is there."""

from __future__ import annotations

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores
from scheduler.snapshot import Snapshot

_EXACT = 1e-9  # what is a whole number must not fall below it by rounding


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    left = snapshot.room - np.array([[pod.weight[0]], [pod.weight[1]]], dtype=np.float64)
    np.maximum(left, 0, out=left)
    left *= snapshot.share
    left *= 100.0
    left += _EXACT
    np.floor(left, out=left)
    mean: Scores = left[0] + left[1]
    mean *= 0.5
    return np.floor(mean, out=mean)
