"""A claim that is ReadWriteOncePod is one pod's: while one with a node has it, no other gets a node (KEP-2485)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.snapshot import Ints, Snapshot

_REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    for key, _ in pod.claims:
        claim = snapshot.volumes.claim(key)
        if claim and "ReadWriteOncePod" in claim["spec"].get("accessModes", ()) and snapshot.volumes.is_used(key):
            return np.zeros(len(snapshot.names), dtype=np.bool_)
    return None


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    return [_REASON] * len(rows)
