"""Prefer nodes with much cpu and memory left after the pod is there."""

from __future__ import annotations

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores
from scheduler.snapshot import Snapshot


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    allocatable = snapshot.allocatable[:2]
    wanted = np.array([[pod.weight[0]], [pod.weight[1]]], dtype=np.int64)
    left = allocatable - snapshot.weight - wanted
    shares = np.floor(np.maximum(left, 0) * 100.0 / np.maximum(allocatable, 1))
    mean: Scores = np.floor((shares[0] + shares[1]) / 2)
    return mean
