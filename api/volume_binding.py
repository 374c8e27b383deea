"""Which volume a claim may have, and what a volume that is kept for a claim looks like. PURE.

The controller binds with it at once, the scheduler once a pod has come that needs the claim: both must judge alike.
https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding ; rules and texts as in
k8s.io/component-helpers/storage/volume and pkg/controller/volume/persistentvolume
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from api import meta
from api.kinds.volume_claim import class_name
from api.meta import Obj
from api.quantities import parse
from api.selectors import Selector, from_label_selector

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_CLAIM_REF = ("namespace", "name", "uid")


def claims_of(pod: Obj) -> Iterator[tuple[str, bool]]:
    """The name of each claim that the pod needs, and whether it is one made for it (a generic ephemeral volume)."""
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield str(volume["persistentVolumeClaim"]["claimName"]), False
        elif volume.get("ephemeral") is not None:
            yield f"{meta.name(pod)}-{volume['name']}", True


def not_made_for(claim: Obj, pod: Obj) -> str:
    """Why the claim is not that of the pod's ephemeral volume although it has its name; "" when it is.

    The text of k8s.io/component-helpers/storage/ephemeral.
    """
    owner = meta.controller_of(claim)
    if owner is not None and owner.get("uid") == meta.uid(pod):
        return ""
    return f"PVC {meta.key(claim)} was not created for pod {meta.key(pod)} (pod is not owner)"


def is_bound(claim: Obj) -> bool:
    """Both sides have said so."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in meta.annotations(claim)


def waits_for_consumer(storage_class: Obj | None) -> bool:
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def is_meant_for(volume: Obj, claim: Obj) -> bool:
    """It refers to this claim: to its name, and to no other claim that had the name."""
    reference, own = volume["spec"].get("claimRef"), claim["metadata"]
    if not reference or any(reference.get(k) != own.get(k) for k in ("namespace", "name")):
        return False
    return not reference.get("uid") or reference["uid"] == own.get("uid")


def size(volume: Obj) -> Decimal:
    return parse((volume["spec"].get("capacity") or {}).get("storage") or "0")


def _wanted(claim: Obj) -> Decimal:
    return parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or "0")


def mismatch(volume: Obj, claim: Obj, *, whatever_class: bool = False) -> str:
    """Why the claim cannot have the volume although one of them asks for the other by name; "" when it can."""
    has, wants = volume["spec"], claim["spec"]
    if meta.is_deleting(volume):
        return f'the volume is marked for deletion "{meta.name(volume)}"'
    if size(volume) < _wanted(claim):
        return "requested PV is too small"
    if class_name(volume) != class_name(claim) and not whatever_class:
        return "storageClassName does not match"
    if (has.get("volumeAttributesClassName") or "") != (wants.get("volumeAttributesClassName") or ""):
        return "volumeAttributesClassName does not match"
    if not same_mode(volume, claim):
        return "incompatible volumeMode"
    if not set(wants.get("accessModes") or ()) <= set(has.get("accessModes") or ()):
        return "incompatible accessMode"
    return ""


def same_mode(volume: Obj, claim: Obj) -> bool:
    return (volume["spec"].get("volumeMode") or "Filesystem") == (claim["spec"].get("volumeMode") or "Filesystem")


def candidates(claim: Obj, volumes: Iterable[Obj]) -> list[Obj]:
    """What the claim may have, wherever it is, the best first: the one that refers to it if there is one (nothing else
    then), else those nobody has, the fewest access modes before the smallest."""
    selector, found = _selector(claim), []
    for volume in volumes:
        if is_meant_for(volume, claim):
            if not mismatch(volume, claim, whatever_class=True):
                return [volume]
        elif (
            not volume["spec"].get("claimRef")
            and (volume.get("status") or {}).get("phase") == "Available"
            and selector.matches(meta.labels(volume))
            and not mismatch(volume, claim)
        ):
            found.append(volume)
    found.sort(key=lambda v: (len(set(v["spec"]["accessModes"])), size(v), meta.name(v)))
    return found


def _selector(claim: Obj) -> Selector:
    return from_label_selector(claim["spec"].get("selector") or {})


def by_size(claims: Iterable[Obj]) -> list[Obj]:
    """Small claims choose first: they leave the large volumes to those that need them."""
    return sorted(claims, key=_wanted)


def reserved(volume: Obj, claim: Obj) -> Obj | None:
    """The volume as it refers to the claim; None when it does. What the user has not chosen is marked as ours, so that
    it may be taken back."""
    reference, own = volume["spec"].get("claimRef") or {}, claim["metadata"]
    if all(reference.get(k) == own.get(k) for k in _CLAIM_REF):
        return None
    chosen_by_user = is_meant_for(volume, claim)
    reference = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        **{k: own[k] for k in (*_CLAIM_REF, "resourceVersion") if k in own},
    }  # fmt: skip
    new = {**volume, "spec": {**volume["spec"], "claimRef": reference}}
    return new if chosen_by_user else annotated(new, BOUND_BY_CONTROLLER, "yes")


def annotated(obj: Obj, key: str, value: str | None) -> Obj:
    """With this annotation, or without it."""
    annotations = {k: v for k, v in meta.annotations(obj).items() if k != key}
    if value is not None:
        annotations[key] = value
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}
