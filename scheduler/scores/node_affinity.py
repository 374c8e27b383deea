"""Preferred node affinity: the weights of the terms a node matches add up."""

from __future__ import annotations

import numpy as np

from scheduler.filters.node_affinity import term_matches
from scheduler.labels import Mask
from scheduler.pod import NodeTerm, Pod
from scheduler.scores.normal import Scores, to_hundred
from scheduler.snapshot import Snapshot


def score(pod: Pod, snapshot: Snapshot, possible: Mask) -> Scores | None:
    if not pod.preferred:
        return None
    total = np.zeros(len(snapshot.names), dtype=np.int64)
    for weight, term in pod.preferred:
        total += weight * _matches(term, snapshot)
    return to_hundred(total, possible)


def _matches(term: NodeTerm, snapshot: Snapshot) -> Mask:
    return snapshot.cached(("preferred", term), lambda: term_matches(term, snapshot))
