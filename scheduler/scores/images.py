"""Prefer nodes that hold the pod's images already: large ones count, and more when several nodes have them."""

from __future__ import annotations

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.scores.normal import Scores
from scheduler.snapshot import Snapshot

_MB = 1 << 20
_LEAST, _MOST = 23 * _MB, 1000 * _MB  # per container


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    present = [snapshot.images[n] for n in map(normalized, pod.images) if n in snapshot.images]
    if not present:
        return None
    total = np.zeros(len(snapshot.names), dtype=np.float64)
    for holders in present:
        spread = len(holders) / max(snapshot.node_count, 1)
        for row, size in holders.items():
            total[row] += size * spread
    most = _MOST * max(len(pod.images), 1)
    shown: Scores = np.floor(100.0 * (np.clip(total, _LEAST, most) - _LEAST) / (most - _LEAST))
    return shown


def normalized(image: str) -> str:
    """With the tag `latest` when it has none: as nodes list them."""
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"
