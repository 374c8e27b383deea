"""spec.nodeName names the only node that will do."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.snapshot import Ints, Snapshot


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if not pod.node:
        return None
    mask = np.zeros(len(snapshot.names), dtype=np.bool_)
    row = snapshot.row_of.get(pod.node)
    if row is not None:
        mask[row] = True
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    return ["node(s) didn't match the requested node name"] * len(rows)
