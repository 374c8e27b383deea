"""PodDisruptionBudget: validation, columns (k8s.io/kubernetes/pkg/apis/policy/validation)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import invalid
from api.kinds import workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import of
from api.validation import Errors, label_selector, shown

_COUNTS = ("currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods")


def default(budget: Obj) -> None:
    budget.setdefault("spec", {})


def prepare(budget: Obj, old: Obj | None) -> None:
    if old is None:
        budget["status"] = dict.fromkeys(_COUNTS, 0)


def validate(budget: Obj, old: Obj | None) -> Errors:
    spec = budget.get("spec") or {}
    errors: Errors = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        errors.append(invalid("spec", shown(spec), "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        for rule in (workload.int_or_percent, workload.at_most_all):
            errors += rule(spec.get(name), f"spec.{name}")
    errors += label_selector(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    return errors + of("AlwaysAllow", "IfHealthyBudget")(policy, "spec.unhealthyPodEvictionPolicy")


def validate_status(budget: Obj, old: Obj | None) -> Errors:
    return workload.counts(budget.get("status") or {}, "status", _COUNTS)


COLUMNS = (
    Column("Name", format="name"),
    Column("Min Available"),
    Column("Max Unavailable"),
    Column("Allowed Disruptions", "integer"),
    Column("Age"),
)


def cells(budget: Obj, now: datetime) -> list[Any]:
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    return [
        meta.name(budget),
        *(str(spec[name]) if spec.get(name) is not None else "N/A" for name in ("minAvailable", "maxUnavailable")),
        status.get("disruptionsAllowed", 0),
        printing.age_of(budget, now),
    ]


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells
)
