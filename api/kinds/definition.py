"""CustomResourceDefinition: defaults, what is kept of the status, columns. Its rules: api/custom/definition.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta
from api.custom.definition import validate, validate_status
from api.custom.status import set_condition
from api.meta import Obj
from api.registry import Column, Hooks

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def default(definition: Obj) -> None:
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = names["kind"] + "List"
    for version in spec.get("versions") or []:
        for name, absent in (("name", ""), ("served", False), ("storage", False)):
            version.setdefault(name, absent)
    conversion = spec.setdefault("conversion", {})
    conversion.setdefault("strategy", "None")
    service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)
    if spec.get("preserveUnknownFields") is False:
        del spec["preserveUnknownFields"]


def prepare(definition: Obj, old: Obj | None) -> None:
    """The version that is stored now has been stored: its objects may be there as long as nobody says otherwise."""
    if old is None:
        definition["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}
    status: Obj = definition.get("status") or {}
    stored = status.get("storedVersions") or []
    new = [v["name"] for v in definition["spec"].get("versions") or [] if v.get("storage") and v["name"] not in stored]
    definition["status"] = {**status, "storedVersions": [*stored, *new]}


def deleting(definition: Obj, now: str) -> None:
    """Its objects go first."""
    finalizers = definition["metadata"].setdefault("finalizers", [])
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)
    conditions = definition.setdefault("status", {}).setdefault("conditions", [])
    set_condition(
        conditions, now, "Terminating", True, "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    )  # fmt: skip


def _cells(definition: Obj, _: datetime) -> list[Any]:
    return [meta.name(definition), definition["metadata"].get("creationTimestamp")]


HOOKS = Hooks(
    default=default,
    prepare=prepare,
    validate=validate,
    validate_status=validate_status,
    deleting=deleting,
    columns=(Column("Name", format="name"), Column("Created At", "date")),
    cells=_cells,
)
