"""A node's NoSchedule and NoExecute taints keep away pods that do not tolerate them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import Pod, Taint
from scheduler.snapshot import Ints, Snapshot

_HARD = ("NoSchedule", "NoExecute")


def _untolerated(pod: Pod, taints: tuple[Taint, ...]) -> Taint | None:
    return next((t for t in taints if t.effect in _HARD and not any(o.tolerates(t) for o in pod.tolerations)), None)


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if len(snapshot.taint_sets) == 1:
        return None

    def mask() -> Mask:
        table = np.array([_untolerated(pod, taints) is None for taints in snapshot.taint_sets])
        fits: Mask = table[snapshot.taints]
        return fits

    return snapshot.cached(("taints", pod.tolerations), mask)


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    for row in rows:
        taint = _untolerated(pod, snapshot.taint_sets[snapshot.taints[row]])
        if taint is not None:
            yield f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
