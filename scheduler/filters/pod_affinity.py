"""Required pod affinity and anti-affinity: with or apart from other pods, within a topology domain.

Anti-affinity works both ways: pods that are there may not want the new one. The first pod of a group that wants
to be with its own kind may go anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np

from api.selectors import Selector
from scheduler.labels import Mask
from scheduler.pod import Pod
from scheduler.relations import ALL_NAMESPACES, Group
from scheduler.snapshot import Ints, Snapshot

_NEAR = "node(s) didn't match pod affinity rules"
_APART = "node(s) didn't match pod anti-affinity rules"
_UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if not pod.near and not pod.apart and not snapshot.apart:
        return None
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for rule in (_near, _apart, _wanted):
        mask &= rule(pod, snapshot)
    return mask


def _near(pod: Pod, snapshot: Snapshot) -> Mask:
    """Each term's domain must hold pods that match all terms."""
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    if not pod.near:
        return mask
    group = reduce(_both, (snapshot.relations.meant_by(term) for term in pod.near))
    counts = snapshot.group(group)
    first_of_its_kind = not counts.any() and group.holds(pod)
    for term in pod.near:
        if first_of_its_kind:
            mask &= snapshot.labels.column(term.topology) > 0
        else:
            mask &= snapshot.per_domain(term.topology, counts) > 0
    return mask


def _both(one: Group, other: Group) -> Group:
    if ALL_NAMESPACES in one.namespaces:
        namespaces = other.namespaces
    elif ALL_NAMESPACES in other.namespaces:
        namespaces = one.namespaces
    else:
        namespaces = tuple(n for n in one.namespaces if n in other.namespaces)
    nothing = one.selector.nothing or other.selector.nothing
    return Group(namespaces, "", Selector((*one.selector.requirements, *other.selector.requirements), nothing))


def _apart(pod: Pod, snapshot: Snapshot) -> Mask:
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for term in pod.apart:
        mask &= snapshot.per_domain(term.topology, snapshot.group(snapshot.relations.meant_by(term))) == 0
    return mask


def _wanted(pod: Pod, snapshot: Snapshot) -> Mask:
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for term, counts in snapshot.apart.items():
        if snapshot.relations.meant_by(term).holds(pod):
            mask &= snapshot.per_domain(term.topology, counts) == 0
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    near, apart = _near(pod, snapshot), _apart(pod, snapshot)
    for row in rows:
        yield _NEAR if not near[row] else _APART if not apart[row] else _UNWANTED
