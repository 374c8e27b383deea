"""Namespace: the `kubernetes` finalizer, the phase, the name label."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import invalid
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, dns_label, finalizer

NAME_LABEL = "kubernetes.io/metadata.name"


def default(namespace: Obj) -> None:
    if namespace["metadata"].get("name"):
        namespace["metadata"].setdefault("labels", {})[NAME_LABEL] = namespace["metadata"]["name"]


def prepare(namespace: Obj, old: Obj | None) -> None:
    """spec.finalizers change only through the finalize subresource, status only through status."""
    if old is None:
        finalizers = namespace.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
        namespace["status"] = {"phase": "Active"}
        return
    namespace["spec"] = {**(namespace.get("spec") or {}), "finalizers": old["spec"].get("finalizers") or []}


def validate(namespace: Obj, old: Obj | None) -> Errors:
    finalizers = (namespace.get("spec") or {}).get("finalizers") or []
    return [e for name in finalizers for e in finalizer(name, "spec.finalizers")] if old is None else []


def validate_status(namespace: Obj, old: Obj | None) -> Errors:
    phase = (namespace.get("status") or {}).get("phase") or ""
    wanted, is_empty = ("Terminating", "not empty") if meta.is_deleting(namespace) else ("Active", "empty")
    text = f"may only be '{wanted}' if `deletionTimestamp` is {is_empty}"
    return [] if phase == wanted else [invalid("status.Phase", phase, text)]


COLUMNS = (Column("Name", format="name"), Column("Status"), Column("Age"))


def cells(namespace: Obj, now: datetime) -> list[Any]:
    phase = (namespace.get("status") or {}).get("phase", "")
    return [meta.name(namespace), phase, printing.age_of(namespace, now)]


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS,
    cells=cells, name_rule=dns_label,
)  # fmt: skip
