"""A pod's volumes must be reachable from its node: those that its claims are bound to, and for claims that wait for
their first pod (WaitForFirstConsumer) those that they could have there, or a provisioner that may make them there.

https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode ; order of choice, reasons and texts as
in k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from api import meta, volume_binding
from api.kinds.volume_claim import class_name
from api.meta import Obj
from api.selectors import Requirement
from scheduler.filters import node_affinity
from scheduler.labels import Mask
from scheduler.pod import NodeTerm, Pod, node_terms
from scheduler.snapshot import Ints, Snapshot
from scheduler.volumes import Promise

_NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
_OUT_OF_REACH = "node(s) didn't match PersistentVolume's node affinity"
_NONE_TO_BIND = "node(s) didn't find available persistent volumes to bind"


def rules_out(pod: Pod, snapshot: Snapshot) -> str:
    for key, made_for_it in pod.claims:
        claim, name = snapshot.volumes.claim(key), meta.split_key(key)[1]
        if claim is None:
            text = f'persistentvolumeclaim "{name}"'
            waiting = f"waiting for ephemeral volume controller to create the {text}"
            return waiting if made_for_it else f"{text} not found"
        if (claim.get("status") or {}).get("phase") == "Lost":
            volume = claim["spec"].get("volumeName", "")
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
        if meta.is_deleting(claim):
            return f'persistentvolumeclaim "{name}" is being deleted'
        foreign = volume_binding.not_made_for(claim, pod.obj) if made_for_it else ""
        if foreign:
            return foreign
    if any(not volume_binding.is_bound(claim) and not _waits(claim, snapshot) for claim in _claims(pod, snapshot)):
        return "pod has unbound immediate PersistentVolumeClaims"
    return ""


def _claims(pod: Pod, snapshot: Snapshot) -> Iterator[Obj]:
    for key, _ in pod.claims:
        claim = snapshot.volumes.claim(key)
        if claim is not None:
            yield claim


def _waits(claim: Obj, snapshot: Snapshot) -> bool:
    if claim["spec"].get("volumeName"):
        return False
    return volume_binding.waits_for_consumer(snapshot.volumes.classes.get(class_name(claim)))


def passes(pod: Pod, snapshot: Snapshot) -> Mask | None:
    if not pod.claims:
        return None
    return _reachable(pod, snapshot) & _bindable(pod, snapshot)


def _reachable(pod: Pod, snapshot: Snapshot) -> Mask:
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for volume in bound_volumes(pod, snapshot):
        mask &= fits(volume, snapshot) if volume is not None else False
    return mask


def bound_volumes(pod: Pod, snapshot: Snapshot) -> list[Obj | None]:
    """Of the claims that are bound; None for one that is gone."""
    claims = [claim for claim in _claims(pod, snapshot) if volume_binding.is_bound(claim)]
    return [snapshot.volumes.volume(claim["spec"]["volumeName"]) for claim in claims]


def fits(volume: Obj, snapshot: Snapshot) -> Mask:
    """The nodes from which it can be reached."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if required is None:
        return np.ones(len(snapshot.names), dtype=np.bool_)
    terms = node_terms(required)
    return snapshot.cached(("volume", terms), lambda: node_affinity.any_matches(terms, snapshot))


# --- claims that wait for a pod ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """What a claim would get, node by node."""

    claim: Obj
    offers: list[tuple[Obj, Mask]]
    makeable: Mask
    """Nodes for which it would have to be made."""

    @property
    def mask(self) -> Mask:
        mask = self.makeable.copy()
        for _, here in self.offers:
            mask |= here
        return mask


def _choices(pod: Pod, snapshot: Snapshot) -> list[Choice]:
    waiting = [claim for claim in _claims(pod, snapshot) if not volume_binding.is_bound(claim)]
    taken: dict[str, Mask] = {}
    return [_choice(claim, snapshot, taken) for claim in volume_binding.by_size(waiting)]


def _choice(claim: Obj, snapshot: Snapshot, taken: dict[str, Mask]) -> Choice:
    """On each node the first that fits; not one that another claim of the pod would have there."""
    open_ = np.ones(len(snapshot.names), dtype=np.bool_)
    node = meta.annotations(claim).get(volume_binding.SELECTED_NODE)
    if node is not None:  # being made for that node: no other will do
        open_[:] = False
        if node in snapshot.row_of:
            open_[snapshot.row_of[node]] = True
        return Choice(claim, [], open_)
    offers = []
    for volume in volume_binding.candidates(claim, snapshot.volumes.of_class(class_name(claim))):
        name = meta.name(volume)
        here = open_ & fits(volume, snapshot) & ~taken.get(name, np.zeros_like(open_))
        taken[name] = taken.get(name, np.zeros_like(open_)) | here
        offers.append((volume, here))
        open_ &= ~here
    return Choice(claim, offers, open_ & _makeable(claim, snapshot))


def _makeable(claim: Obj, snapshot: Snapshot) -> Mask:
    storage_class = snapshot.volumes.classes.get(class_name(claim)) or {}
    if storage_class.get("provisioner") in (None, "", volume_binding.NO_PROVISIONER):
        return np.zeros(len(snapshot.names), dtype=np.bool_)
    allowed = storage_class.get("allowedTopologies")
    if not allowed:
        return np.ones(len(snapshot.names), dtype=np.bool_)
    terms = tuple(
        NodeTerm(tuple(Requirement(e["key"], "In", tuple(e["values"])) for e in t.get("matchLabelExpressions") or ()))
        for t in allowed
    )
    return node_affinity.any_matches(terms, snapshot)


def _bindable(pod: Pod, snapshot: Snapshot) -> Mask:
    mask = np.ones(len(snapshot.names), dtype=np.bool_)
    for choice in _choices(pod, snapshot):
        mask &= choice.mask
    return mask


def reasons(pod: Pod, snapshot: Snapshot, rows: Ints) -> Iterable[str]:
    """A node may lack both, and says each."""
    reachable, bindable = _reachable(pod, snapshot), _bindable(pod, snapshot)
    if None in bound_volumes(pod, snapshot):
        yield from [_NO_VOLUME] * len(rows)
        return
    for row in rows:
        if not reachable[row]:
            yield _OUT_OF_REACH
        if not bindable[row]:
            yield _NONE_TO_BIND


def promise(pod: Pod, snapshot: Snapshot, node: str) -> Promise | None:
    """What the pod's claims get on this node, which has passed; None when all of them are bound."""
    row = snapshot.row_of[node]
    volumes, placed, claims = [], [], []
    for choice in _choices(pod, snapshot):
        volume = next((volume for volume, here in choice.offers if here[row]), None)
        claims.append((meta.key(choice.claim), volume is None))
        if volume is None:
            placed.append(volume_binding.annotated(choice.claim, volume_binding.SELECTED_NODE, node))
            continue
        reserved = volume_binding.reserved(volume, choice.claim)
        if reserved is not None:
            volumes.append(reserved)
    unwritten = [c for c in placed if c != snapshot.volumes.claim(meta.key(c))]
    return Promise(tuple(volumes), tuple(unwritten), tuple(claims)) if claims else None
