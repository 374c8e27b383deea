"""ReplicaSet: defaults, validation, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.kinds import workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, not_negative


def default(replica_set: Obj) -> None:
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    workload.default_template(spec)


def prepare(replica_set: Obj, old: Obj | None) -> None:
    if old is None:
        replica_set["status"] = {"replicas": 0}


def validate(replica_set: Obj, old: Obj | None) -> Errors:
    spec = replica_set.get("spec") or {}
    errors = workload.selector_and_template(spec, old and old.get("spec"), "ReplicaSet")
    return errors + not_negative(spec, "minReadySeconds", "spec")


COLUMNS = (
    Column("Name", format="name"),
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    Column("Age"),
    Column("Containers", priority=1),
    Column("Images", priority=1),
    Column("Selector", priority=1),
)


def cells(replica_set: Obj, now: datetime) -> list[Any]:
    spec, status = replica_set["spec"], replica_set.get("status") or {}
    return [
        meta.name(replica_set),
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        printing.age_of(replica_set, now),
        *workload.container_columns(spec["template"]),
        workload.selector_text(spec.get("selector")),
    ]


HOOKS = Hooks(default=default, prepare=prepare, validate=validate, columns=COLUMNS, cells=cells)
