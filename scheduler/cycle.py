"""One pod, one decision: filter, score, pick; or say why not. PURE.

All nodes are looked at, each filter and score as one array expression. Equals are broken by going round: the
first of the best at or after `start`, so that pods without any preference spread evenly and repeatably.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from scheduler.labels import Mask
from scheduler.plugins import FILTERS, RULING_OUT, SCORES
from scheduler.pod import Pod
from scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Decision:
    node: str  # "" when there is none
    next_start: int = 0
    message: str = ""  # why there is none, in upstream's words
    blockers: frozenset[str] = frozenset()  # the filters that rejected nodes


def schedule(pod: Pod, snapshot: Snapshot, start: int = 0) -> Decision:
    if not snapshot.node_count:
        return Decision("", start, "no nodes available to schedule pods")
    for name, rules_out in RULING_OUT:
        why = rules_out(pod, snapshot)
        if why:
            nowhere = _available(snapshot.node_count, Counter({_NOT_HELPFUL: snapshot.node_count}))
            message = f"0/{snapshot.node_count} nodes are available: {why}. preemption: {nowhere}"
            return Decision("", start, message, frozenset({name}))
    possible = snapshot.alive.copy()
    for each in FILTERS:
        mask = each.passes(pod, snapshot)
        if mask is not None:
            possible &= mask
    if not possible.any():
        return explain(pod, snapshot, start)
    row = _pick(_total(pod, snapshot, possible), possible, start)
    return Decision(snapshot.names[row], row + 1)


def _total(pod: Pod, snapshot: Snapshot, possible: Mask) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    total = np.zeros(len(possible))
    for each in SCORES:
        scores = each.score(pod, snapshot, possible)
        if scores is not None:
            total += each.weight * scores
    return total


def _pick(total: np.ndarray[tuple[int], np.dtype[np.float64]], possible: Mask, start: int) -> int:
    np.putmask(total, ~possible, -1)
    best = np.flatnonzero(total == total.max())
    return int(best[np.searchsorted(best, start) % len(best)])


def explain(pod: Pod, snapshot: Snapshot, start: int) -> Decision:
    """Which filter rejected each node, and the message of upstream's FitError."""
    left = snapshot.alive.copy()
    reasons: Counter[str] = Counter()
    blockers: set[str] = set()
    movable = 0
    for each in FILTERS:
        mask = each.passes(pod, snapshot)
        if mask is None:
            continue
        rejected = np.flatnonzero(left & ~mask)
        if len(rejected):
            reasons.update(each.reasons(pod, snapshot, rejected))
            blockers.add(each.name)
            movable += len(rejected) if each.movable else 0
        left &= mask
    nodes = snapshot.node_count
    preemption = Counter({_NOT_HELPFUL: nodes - movable, _NO_VICTIMS: movable})
    message = f"{_available(nodes, reasons)} preemption: {_available(nodes, preemption)}"
    return Decision("", start, message, frozenset(blockers))


_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


def _available(nodes: int, reasons: Counter[str]) -> str:
    shown = sorted(f"{count} {reason}" for reason, count in reasons.items() if count)
    return f"0/{nodes} nodes are available: {', '.join(shown)}."
