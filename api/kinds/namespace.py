"""Namespace: the `kubernetes` finalizer, the phase, the name label."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import dns_label

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


COLUMNS = (Column("Name", format="name"), Column("Status"), Column("Age"))


def cells(namespace: Obj, now: datetime) -> list[Any]:
    phase = (namespace.get("status") or {}).get("phase", "")
    return [meta.name(namespace), phase, printing.age_of(namespace, now)]


HOOKS = Hooks(default=default, prepare=prepare, columns=COLUMNS, cells=cells, name_rule=dns_label)
