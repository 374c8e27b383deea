"""What the pod asks for must be free on the node: every resource, and a place among its pods."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.snapshot import Ints, Snapshot


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    mask: Mask = snapshot.pod_count < snapshot.max_pods
    for resource, amount in pod.requests.items():
        at = snapshot.resources.get(resource)
        if at is None:
            return np.zeros(len(snapshot.names), dtype=np.bool_)
        mask &= snapshot.allocatable[at] - snapshot.used[at] >= amount
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    """A node may lack several things at once, and says each."""
    for row in rows:
        if snapshot.pod_count[row] >= snapshot.max_pods[row]:
            yield "Too many pods"
        for resource, amount in pod.requests.items():
            at = snapshot.resources.get(resource)
            if at is None or snapshot.allocatable[at, row] - snapshot.used[at, row] < amount:
                yield f"Insufficient {resource}"
