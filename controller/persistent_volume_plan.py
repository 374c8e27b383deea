"""What becomes of a claim and of a volume. PURE: both functions see how things stand and may be asked again and again.

    claim   Pending ──▶ Bound ──▶ Lost               (its volume is gone: so is what was on it)
    volume  Available ──▶ Bound ──▶ Released ──▶ …   (kept, left to its provisioner, or Failed: we delete no data)

https://kubernetes.io/docs/concepts/storage/persistent-volumes/ ; rules, reasons and texts as in
k8s.io/kubernetes/pkg/controller/volume/persistentvolume/pv_controller.go
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from api import meta, volume_binding
from api.kinds.volume_claim import class_name
from api.meta import Obj
from api.volume_binding import BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE, is_meant_for

DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
PROVISIONER = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    reason: str
    message: str


# --- claims ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    phase: str
    volume: Obj | None = None
    """To be bound to it."""
    change: Obj | None = None
    """The claim as it should be written first; the rest is asked again then."""
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is besides the claim."""

    volume: Callable[[str], Obj | None]
    free: Callable[[Obj], Iterable[Obj]]
    """The volumes of the claim's class, and those that refer to it."""
    classes: Sequence[Obj] = ()
    pods: Callable[[], Sequence[str]] = lambda: ()
    """Names of the pods without a node that want the claim."""

    def storage_class(self, name: str) -> Obj | None:
        return next((c for c in self.classes if meta.name(c) == name), None)


def plan_claim(claim: Obj, around: Surroundings) -> ClaimPlan:
    if BIND_COMPLETED in meta.annotations(claim):
        return _once_bound(claim, around)
    if claim["spec"].get("volumeName"):
        return _asks_by_name(claim, around)
    return _asks(claim, around)


def _once_bound(claim: Obj, around: Surroundings) -> ClaimPlan:
    name = claim["spec"].get("volumeName")
    if not name:
        return _lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
    volume = around.volume(name)
    if volume is None:
        return _lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    reference = volume["spec"].get("claimRef")
    if reference and reference.get("uid") != meta.uid(claim) and not is_meant_for(volume, claim):
        return _lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
    return ClaimPlan("Bound", volume)


def _lost(reason: str, message: str) -> ClaimPlan:
    return ClaimPlan("Lost", event=Event("Warning", reason, message))


def _asks_by_name(claim: Obj, around: Surroundings) -> ClaimPlan:
    name = str(claim["spec"]["volumeName"])
    volume = around.volume(name)
    if volume is None:
        return ClaimPlan("Pending")
    if is_meant_for(volume, claim):
        return ClaimPlan("Bound", volume)
    if volume["spec"].get("claimRef"):
        return _pending("Warning", "FailedBinding", f'volume "{name}" already bound to a different claim.')
    why = volume_binding.mismatch(volume, claim)
    if why:
        return _pending("Warning", "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}')
    return ClaimPlan("Bound", volume)


def _asks(claim: Obj, around: Surroundings) -> ClaimPlan:
    wanted = class_name(claim)
    storage_class = around.storage_class(wanted)
    delayed = volume_binding.waits_for_consumer(storage_class)
    found = volume_binding.candidates(claim, around.free(claim))
    if delayed:  # the scheduler chooses, with the pod's node in mind, and reserves what it has chosen
        found = [volume for volume in found if is_meant_for(volume, claim)]
    if found:
        return ClaimPlan("Bound", found[0])
    default = _default_class(claim, around.classes)
    if default:
        return ClaimPlan("Pending", change={**claim, "spec": {**claim["spec"], "storageClassName": default}})
    if delayed and SELECTED_NODE not in meta.annotations(claim):
        return _waits(around.pods())
    if wanted:
        return _provision(claim, wanted, storage_class)
    text = "no persistent volumes available for this claim and no storage class is set"
    return _pending("Normal", "FailedBinding", text)


def _default_class(claim: Obj, classes: Sequence[Obj]) -> str:
    """For a claim that came before there was one (KEP-3333): the newest that is marked."""
    if claim["spec"].get("storageClassName") is not None or class_name(claim):
        return ""
    marked = [c for c in classes if any(meta.annotations(c).get(mark) == "true" for mark in DEFAULT_CLASS)]
    marked.sort(key=meta.name)
    newest = max(marked, key=lambda c: str(c["metadata"].get("creationTimestamp")), default=None)
    return meta.name(newest) if newest else ""


def _waits(pods: Sequence[str]) -> ClaimPlan:
    if not pods:
        return _pending("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    who = f"pods {','.join(pods)}" if len(pods) > 1 else f"pod {pods[0]}"
    return _pending("Normal", "WaitForPodScheduled", f"waiting for {who} to be scheduled")


def _provision(claim: Obj, wanted: str, storage_class: Obj | None) -> ClaimPlan:
    """Making volumes is the work of provisioners, who look for the annotation; none is built in."""
    if storage_class is None:
        return _pending("Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{wanted}" not found')
    name = str(storage_class.get("provisioner") or "")
    if name.startswith("kubernetes.io/"):
        return _pending("Warning", "ProvisioningFailed", f"no volume plugin matched name: {name}")
    event = Event(
        "Normal",
        "ExternalProvisioning",
        f"Waiting for a volume to be created either by the external provisioner '{name}' or manually by the system "
        "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
        "registered.",
    )
    change = claim
    for key in PROVISIONER:
        change = volume_binding.annotated(change, key, name)
    if meta.annotations(change) != meta.annotations(claim):
        return ClaimPlan("Pending", change=change)
    return ClaimPlan("Pending", event=event)


def _pending(type_: str, reason: str, message: str) -> ClaimPlan:
    return ClaimPlan("Pending", event=Event(type_, reason, message))


def bound_claim(claim: Obj, volume: Obj) -> Obj | None:
    """The claim as it refers to its volume; None when it does."""
    new, by_us = claim, claim["spec"].get("volumeName") != meta.name(volume)
    if by_us:
        new = {**claim, "spec": {**claim["spec"], "volumeName": meta.name(volume)}}
        new = volume_binding.annotated(new, BOUND_BY_CONTROLLER, "yes")
    if BIND_COMPLETED not in meta.annotations(new):
        new = volume_binding.annotated(new, BIND_COMPLETED, "yes")
    return None if new is claim else new


def claim_status(claim: Obj, phase: str, volume: Obj | None) -> Obj:
    """Its capacity is told once: later it is the file system's, smaller than the volume's while that grows."""
    status = dict(claim.get("status") or {})
    if volume is None:
        for field in ("accessModes", "capacity"):
            status.pop(field, None)
        return {**status, "phase": phase}
    spec = volume["spec"]
    status["accessModes"] = spec.get("accessModes") or []
    if status.get("phase") != phase or not status.get("capacity"):
        status["capacity"] = {"storage": (spec.get("capacity") or {}).get("storage", "0")}
        if spec.get("volumeAttributesClassName"):
            status["currentVolumeAttributesClassName"] = spec["volumeAttributesClassName"]
    return {**status, "phase": phase}


# --- volumes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VolumePlan:
    phase: str  # "" = as it is
    message: str = ""
    change: Obj | None = None
    """The volume as it should be written first."""
    ask_claim: bool = False
    """The claim has yet to answer."""
    event: Event | None = None
    claim_event: Event | None = None


def plan_volume(volume: Obj, claim: Obj | None) -> VolumePlan:
    """`claim` is the one it refers to by name and UID; None when that does not exist (any more)."""
    spec = volume["spec"]
    reference = spec.get("claimRef")
    if not reference or not reference.get("uid"):
        return VolumePlan("Available", ask_claim=bool(reference))
    if claim is None:
        return _released(volume)
    name, wanted = meta.name(volume), claim["spec"].get("volumeName")
    if wanted == name:
        return VolumePlan("Bound")
    if not wanted:
        if volume_binding.same_mode(volume, claim):
            return VolumePlan("", ask_claim=True)
        why = f'requested PersistentVolumeClaim "{meta.name(claim)}" due to incompatible volumeMode.'
        return VolumePlan(
            "",
            event=Event("Warning", "VolumeMismatch", f"Cannot bind PersistentVolume to {why}"),
            claim_event=Event("Warning", "VolumeMismatch", f'Cannot bind PersistentVolume "{name}" to {why}'),
        )
    if PROVISIONED_BY in meta.annotations(volume) and spec.get("persistentVolumeReclaimPolicy") == "Delete":
        return _released(volume)  # made for this claim, which took another
    return VolumePlan("Available", change=_let_go(volume))


def _let_go(volume: Obj) -> Obj:
    """Free for all again or, where the user had reserved it, for whoever comes under that name."""
    spec = dict(volume["spec"])
    if BOUND_BY_CONTROLLER in meta.annotations(volume):
        del spec["claimRef"]
        return {**volume_binding.annotated(volume, BOUND_BY_CONTROLLER, None), "spec": spec}
    reference = {k: v for k, v in spec["claimRef"].items() if k not in ("uid", "resourceVersion")}
    return {**volume, "spec": {**spec, "claimRef": reference}}


def _released(volume: Obj) -> VolumePlan:
    policy, by = volume["spec"].get("persistentVolumeReclaimPolicy"), meta.annotations(volume).get(PROVISIONED_BY)
    was = (volume.get("status") or {}).get("phase")
    if policy == "Recycle":
        return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    if policy == "Delete" and (by is None or by.startswith("kubernetes.io/")):
        text = f'error getting deleter volume plugin for volume "{meta.name(volume)}": '
        return _failed(volume, "VolumeFailedDelete", f"{text}no deletable volume plugin matched")
    return VolumePlan("" if was in ("Released", "Failed") else "Released")


def _failed(volume: Obj, reason: str, message: str) -> VolumePlan:
    """What is on a node's disk or on a server of somebody's is not ours to remove from here."""
    known = volume.get("status") or {}
    if (known.get("phase"), known.get("message")) == ("Failed", message):
        return VolumePlan("")
    return VolumePlan("Failed", message, event=Event("Warning", reason, message))


def volume_status(volume: Obj, phase: str, message: str, now: str) -> Obj:
    status = {k: v for k, v in (volume.get("status") or {}).items() if k not in ("message", "reason")}
    if status.get("phase") != phase:
        status["lastPhaseTransitionTime"] = now
    return {**status, "phase": phase, **({"message": message} if message else {})}
