"""PersistentVolumeClaim: defaults, validation, what an update may change, columns.

Rules: k8s.io/kubernetes/pkg/apis/core/validation, ValidatePersistentVolumeClaim and its update and status rules.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from api import meta, printing, quantities
from api.errors import forbidden_field, invalid, not_supported, required
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import SUBDOMAIN, check, given, needed, of, positive_quantity
from api.validation import (
    Errors,
    immutable,
    label_selector,
    labels,
    qualified_name,
)
from api.validation import annotations as annotation_rules

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_SHORT = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_RESIZES = ("ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible",
            "NodeResizePending")  # fmt: skip


def default_spec(spec: Obj) -> None:
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("resources", {})


def default(claim: Obj) -> None:
    default_spec(claim.setdefault("spec", {}))


def prepare(claim: Obj, old: Obj | None) -> None:
    """A data source given in one of its two fields is in both (KEP-1495). One of another namespace is left out: v1.35
    does not turn that on."""
    if old is None:
        claim["status"] = {"phase": "Pending"}
    spec = claim["spec"]
    if (spec.get("dataSourceRef") or {}).get("namespace"):
        del spec["dataSourceRef"]
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None:
        spec["dataSource"] = dict(reference)


def access_modes(spec: Obj, at: str) -> Errors:
    """The rules of persistent volumes and of claims; both need at least one, each in its own words."""
    modes = spec.get("accessModes") or []
    errors = [not_supported(at, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and any(m in ACCESS_MODES and m != "ReadWriteOncePod" for m in modes):
        errors.append(forbidden_field(at, "may not use ReadWriteOncePod with other access modes"))
    return errors


def validate_spec(spec: Obj, at: str) -> Errors:
    errors: Errors = []
    if not spec.get("accessModes"):
        errors.append(required(f"{at}.accessModes", "at least 1 access mode is required"))
    errors += label_selector(spec.get("selector"), f"{at}.selector") + access_modes(spec, f"{at}.accessModes")
    storage = _storage(spec)
    errors += [required(f"{at}.resources[storage]")] if storage is None else positive_quantity(
        storage, f"{at}.resources[storage]"
    )  # fmt: skip
    errors += check(spec, at, (
        ("storageClassName", SUBDOMAIN), ("volumeMode", of(*VOLUME_MODES)),
        ("dataSource", given(_data_source)), ("dataSourceRef", given(_data_source)),
        ("volumeAttributesClassName", SUBDOMAIN),
    ))  # fmt: skip
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    parts = ("apiGroup", "kind", "name")
    if source is not None and reference is not None and any(source.get(k) != reference.get(k) for k in parts):
        errors.append(invalid(at, f"{at}.dataSource", "must match dataSourceRef"))
    return errors


def _data_source(source: Obj, at: str) -> Errors:
    errors = check(source, at, (("name", needed()), ("kind", needed())))
    if not source.get("apiGroup") and source.get("kind") != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(at, source.get("kind") or "", text))
    return errors + SUBDOMAIN(source.get("apiGroup"), f"{at}.apiGroup")


def template(template: Obj, at: str) -> Errors:
    """The claim template of an ephemeral volume."""
    metadata = template.get("metadata") or {}
    errors = annotation_rules(metadata.get("annotations"), f"{at}.metadata.annotations")
    errors += labels(metadata.get("labels"), f"{at}.metadata.labels")
    errors += [
        forbidden_field(f"{at}.metadata.{name}", "cannot be set")
        for name, value in metadata.items()
        if value and name not in ("annotations", "labels")
    ]
    return errors + validate_spec(template.get("spec") or {}, f"{at}.spec")


def _storage(spec: Obj) -> Any:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")


def validate(claim: Obj, old: Obj | None) -> Errors:
    errors = validate_spec(claim.get("spec") or {}, "spec")
    return errors if old is None else errors + _update(claim, old)


def _update(claim: Obj, old: Obj) -> Errors:
    """Only the size of a bound claim, its attributes class, and once the volume's name and a missing class change."""
    new, before = copy.deepcopy(claim["spec"]), copy.deepcopy(old["spec"])
    classes = meta.annotations(claim).get(CLASS_ANNOTATION), meta.annotations(old).get(CLASS_ANNOTATION)
    errors: Errors = []
    if not before.get("volumeName"):
        before["volumeName"] = new.get("volumeName")
    if "storageClassName" not in before and classes[1] in (None, new.get("storageClassName")):
        before["storageClassName"] = new.get("storageClassName")
    if classes[0] != classes[1] and not (classes[0] is None and new.get("storageClassName") == classes[1]):
        errors.append(invalid(f"metadata.annotations.{CLASS_ANNOTATION}", classes[0] or "", "field is immutable"))
    status = claim.get("status") or {}
    if status.get("phase") == "Bound":
        requests = (new.get("resources") or {}).get("requests")
        if requests is not None:
            requests["storage"] = _storage(before)
        before["volumeAttributesClassName"] = new.get("volumeAttributesClassName")
    if {k: v for k, v in new.items() if v is not None} != {k: v for k, v in before.items() if v is not None}:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.append(forbidden_field("spec", f"{text}\n{printing.diff(before, new)}"))
    size, was = _storage(claim["spec"]), _storage(old["spec"])
    if quantities.is_valid(size or "") and was is not None and quantities.parse(size) < quantities.parse(was):
        has = (status.get("capacity") or {}).get("storage", "0")
        if quantities.parse(size) <= quantities.parse(has):
            errors.append(
                forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity")
            )
    errors += immutable(claim["spec"].get("volumeMode"), old["spec"].get("volumeMode"), "volumeMode")
    if status.get("currentVolumeAttributesClassName") is not None and not new.get("volumeAttributesClassName"):
        what = "nil" if new.get("volumeAttributesClassName") is None else "empty string"
        text = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        errors.append(forbidden_field("spec.volumeAttributesClassName", text))
    return errors


def _resource_key(key: str, at: str) -> Errors:
    errors = qualified_name(key, at)
    native = "/" not in key or "kubernetes.io/" in key
    return errors if errors or not native or key == "storage" else [not_supported(at, key, ("storage",))]


def validate_status(claim: Obj, old: Obj | None) -> Errors:
    status = claim.get("status") or {}
    errors: Errors = []
    for key, state in (status.get("allocatedResourceStatuses") or {}).items():
        at = "status.allocatedResourceStatuses"
        errors += _resource_key(key, at) + ([] if state in _RESIZES else [not_supported(at, key, _RESIZES)])
    for key in status.get("allocatedResources") or {}:
        errors += _resource_key(key, "status.allocatedResources")
    return errors


# --- as a table --------------------------------------------------------------------------------------------

COLUMNS = (
    Column("Name", format="name"),
    Column("Status"),
    Column("Volume"),
    Column("Capacity"),
    Column("Access Modes"),
    Column("StorageClass"),
    Column("VolumeAttributesClass"),
    Column("Age"),
    Column("VolumeMode", priority=1),
)


def modes_text(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in _SHORT.items() if mode in (modes or ()))


def class_name(obj: Obj) -> str:
    return str(meta.annotations(obj).get(CLASS_ANNOTATION) or obj["spec"].get("storageClassName") or "")


def phase(obj: Obj) -> str:
    return "Terminating" if meta.is_deleting(obj) else str((obj.get("status") or {}).get("phase") or "")


def cells(claim: Obj, now: datetime) -> list[Any]:
    spec, status = claim["spec"], claim.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        meta.name(claim),
        phase(claim),
        spec.get("volumeName") or "",
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        modes_text(status.get("accessModes")) if bound else "",
        class_name(claim),
        spec.get("volumeAttributesClassName") or "<unset>",
        printing.age_of(claim, now),
        spec.get("volumeMode") or "<unset>",
    ]


HOOKS = Hooks(
    default=default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    columns=COLUMNS,
    cells=cells,
)
