"""A cordoned node takes only pods that tolerate node.kubernetes.io/unschedulable."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.labels import Mask
from scheduler.pod import Pod, Taint
from scheduler.snapshot import Ints, Snapshot

_TAINT = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if any(t.tolerates(_TAINT) for t in pod.tolerations):
        return None
    return ~snapshot.unschedulable


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    return ["node(s) were unschedulable"] * len(rows)
