"""Two pods of a node cannot have the same host port, unless on different host addresses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.snapshot import Ints, Snapshot


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if not pod.ports:
        return None
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for port in pod.ports:
        for row, taken in snapshot.ports.get((port.protocol, port.port), {}).items():
            if any(port.collides(ip) for ip in taken):
                mask[row] = False
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    return ["node(s) didn't have free ports for the requested pod ports"] * len(rows)
