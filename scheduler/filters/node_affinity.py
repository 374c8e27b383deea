"""spec.nodeSelector and required node affinity: labels (and metadata.name) that the node must have."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scheduler.labels import Mask
from scheduler.pod import NodeTerm, Pod
from scheduler.snapshot import Ints, Snapshot


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if not pod.selector and pod.affinity is None:
        return None

    def mask() -> Mask:
        fits = np.ones(len(snapshot.names), dtype=np.bool_)
        for requirement in pod.selector:
            fits &= snapshot.labels.matches(requirement)
        if pod.affinity is not None:
            fits &= any_matches(pod.affinity, snapshot)
        return fits

    return snapshot.cached(("affinity", pod.selector, pod.affinity), mask)


def any_matches(terms: Iterable[NodeTerm], snapshot: Snapshot) -> Mask:
    mask = np.zeros(len(snapshot.names), dtype=np.bool_)
    for term in terms:
        mask |= term_matches(term, snapshot)
    return mask


def term_matches(term: NodeTerm, snapshot: Snapshot) -> Mask:
    if not term.labels and not term.fields:
        return np.zeros(len(snapshot.names), dtype=np.bool_)
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for requirement in term.labels:
        mask &= snapshot.labels.matches(requirement)
    for requirement in term.fields:  # metadata.name is the only field there is
        mask &= np.array([requirement.matches({requirement.key: name}) for name in snapshot.names])
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    return ["node(s) didn't match Pod's node affinity/selector"] * len(rows)
