"""PersistentVolume: defaults, validation, what an update may change, columns.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, ValidatePersistentVolume and its update rules.
"""

from __future__ import annotations

import copy
import posixpath
from datetime import datetime
from typing import Any

from api import meta, printing, quantities
from api.errors import forbidden_field, invalid, not_supported, required
from api.kinds import pod_placement, volume_claim, volumes
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import SUBDOMAIN, check, needed_as, of, positive_quantity
from api.validation import Errors, dns_subdomain, immutable, shown


def default(volume: Obj) -> None:
    spec = volume.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    for kind in volumes.PERSISTENT_SOURCES:
        if spec.get(kind) is not None:
            volumes.default_source(kind, spec[kind])


def prepare(volume: Obj, old: Obj | None) -> None:
    if old is None:
        created = volume["metadata"].get("creationTimestamp")
        volume["status"] = {"phase": "Pending", "lastPhaseTransitionTime": created}


def validate(volume: Obj, old: Obj | None) -> Errors:
    spec = volume.get("spec") or {}
    errors = [] if spec.get("accessModes") else [required("spec.accessModes")]
    errors += volume_claim.access_modes(spec, "spec.accessModes") + _capacity(spec.get("capacity") or {})
    policy, affinity = spec.get("persistentVolumeReclaimPolicy"), spec.get("nodeAffinity")
    errors += of("Delete", "Recycle", "Retain")(policy, "spec.persistentVolumeReclaimPolicy")
    if affinity is not None and affinity.get("required") is not None:
        errors += pod_placement.node_selector(affinity["required"], "spec.nodeAffinity.required")
    elif affinity is not None:
        errors.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
    errors += volumes.persistent_source(spec, "spec")
    if spec.get("local") is not None and affinity is None:
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    path = (spec.get("hostPath") or {}).get("path")
    if path and posixpath.normpath(path) == "/" and policy == "Recycle":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        errors.append(forbidden_field("spec.persistentVolumeReclaimPolicy", text))
    errors += check(spec, "spec", (("storageClassName", SUBDOMAIN), ("volumeMode", of(*volume_claim.VOLUME_MODES))))
    attributes = spec.get("volumeAttributesClassName")
    if attributes is not None:
        at = "spec.volumeAttributesClassName"
        errors += needed_as(dns_subdomain)(attributes, at) if attributes else [
            required(at, "an empty string is disallowed")
        ]  # fmt: skip
        if spec.get("csi") is None:
            errors.append(required("spec.csi", "has to be specified when using volumeAttributesClassName"))
    return errors if old is None else errors + _update(spec, old["spec"])


def _capacity(capacity: Obj) -> Errors:
    errors = [] if capacity else [required("spec.capacity")]
    if list(capacity) != ["storage"]:
        errors.append(not_supported("spec.capacity", shown(capacity), ("storage",)))
    return errors + [e for name, value in capacity.items() for e in positive_quantity(value, f"spec.capacity[{name}]")]


def _update(spec: Obj, old: Obj) -> Errors:
    new, before = ({k: copy.deepcopy(s[k]) for k in volumes.PERSISTENT_SOURCES if k in s} for s in (spec, old))
    secret = "controllerExpandSecretRef"
    if new.get("csi") and before.get("csi") and before["csi"].get(secret) is None:
        new["csi"].pop(secret, None)
    errors: Errors = []
    if new != before:
        text = f"spec.persistentvolumesource is immutable after creation\n{printing.diff(before, new)}"
        errors.append(forbidden_field("spec.persistentvolumesource", text))
    errors += immutable(spec.get("volumeMode"), old.get("volumeMode"), "volumeMode")
    had = old.get("nodeAffinity")
    if had is not None and spec.get("nodeAffinity") != had:
        text = "field is immutable, except for updating from beta label to GA"
        errors.append(invalid("nodeAffinity", shown(spec.get("nodeAffinity")), text))
    if old.get("volumeAttributesClassName") is not None and spec.get("volumeAttributesClassName") is None:
        text = "update from non-nil value to nil is forbidden"
        errors.append(forbidden_field("spec.volumeAttributesClassName", text))
    return errors


COLUMNS = (
    Column("Name", format="name"),
    Column("Capacity"),
    Column("Access Modes"),
    Column("Reclaim Policy"),
    Column("Status"),
    Column("Claim"),
    Column("StorageClass"),
    Column("VolumeAttributesClass"),
    Column("Reason"),
    Column("Age"),
    Column("VolumeMode", priority=1),
)


def cells(volume: Obj, now: datetime) -> list[Any]:
    spec, status = volume["spec"], volume.get("status") or {}
    claim = spec.get("claimRef")
    return [
        meta.name(volume),
        quantities.canonical((spec.get("capacity") or {}).get("storage", "0")),
        volume_claim.modes_text(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        volume_claim.phase(volume),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        volume_claim.class_name(volume),
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason") or "",
        printing.age_of(volume, now),
        spec.get("volumeMode") or "<unset>",
    ]


HOOKS = Hooks(default=default, prepare=prepare, validate=validate, columns=COLUMNS, cells=cells)
