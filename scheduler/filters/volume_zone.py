"""A volume that is labelled with zones or regions is used there. Nodes without any such label are everywhere.

The values of a label may be several, joined by `__`: k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumezone
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from api import meta
from api.selectors import Requirement
from scheduler.filters import volume_binding
from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.snapshot import Ints, Snapshot

_OLD, _NEW = "failure-domain.beta.kubernetes.io/", "topology.kubernetes.io/"
_KEYS = tuple(prefix + part for prefix in (_NEW, _OLD) for part in ("zone", "region"))


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if not pod.claims:
        return None
    wanted = {
        (key, tuple(meta.labels(volume)[key].split("__")))
        for volume in volume_binding.bound_volumes(pod, snapshot)
        if volume is not None
        for key in _KEYS
        if key in meta.labels(volume)
    }
    if not wanted:
        return None
    fits = np.ones(len(snapshot.names), dtype=np.bool_)
    for key, values in wanted:
        names = {key, key.replace(_OLD, _NEW)}  # the old name will do under the new one
        fits &= np.logical_or.reduce([snapshot.labels.matches(Requirement(name, "In", values)) for name in names])
    anywhere = np.logical_and.reduce([snapshot.labels.column(key) == 0 for key in _KEYS])
    mask: Mask = fits | anywhere
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    return ["node(s) had no available volume zone"] * len(rows)
