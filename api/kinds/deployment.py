"""Deployment: defaults, validation, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import forbidden_field, invalid, not_supported
from api.kinds import workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import NOT_NEGATIVE, check
from api.validation import Errors, shown


def default(deployment: Obj) -> None:
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    workload.default_template(spec)


def validate(deployment: Obj, old: Obj | None) -> Errors:
    spec = deployment.get("spec") or {}
    errors = check(spec, "spec", (("replicas", NOT_NEGATIVE),))
    errors += workload.selector_and_template(spec, old and old["spec"], empty_for="deployment", kind="ReplicaSet")
    errors += _strategy(spec.get("strategy") or {})
    names = ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    errors += check(spec, "spec", [(name, NOT_NEGATIVE) for name in names])
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors


def _strategy(strategy: Obj) -> Errors:
    at, rolling = "spec.strategy.rollingUpdate", strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden_field(at, text)]
    if strategy.get("type") != "RollingUpdate":
        return [not_supported("spec.strategy", shown(strategy), ("Recreate", "RollingUpdate"))]
    unavailable, surge = (rolling or {}).get("maxUnavailable", 0), (rolling or {}).get("maxSurge", 0)
    errors = workload.int_or_percent(unavailable, f"{at}.maxUnavailable")
    errors += workload.int_or_percent(surge, f"{at}.maxSurge")
    if workload.is_zero(unavailable) and workload.is_zero(surge):
        errors.append(invalid(f"{at}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return errors + workload.at_most_all(unavailable, f"{at}.maxUnavailable")


def validate_status(deployment: Obj, old: Obj | None) -> Errors:
    status = deployment.get("status") or {}
    among = ("updatedReplicas", "readyReplicas", "availableReplicas")
    names = ("observedGeneration", "replicas", *among, "unavailableReplicas", "terminatingReplicas", "collisionCount")
    errors = workload.counts(status, "status", names, at_most="replicas", among=among)
    return errors + workload.collisions(status, old)


COLUMNS = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Up-to-date"),
    Column("Available"),
    Column("Age"),
    *workload.WIDE,
)


def cells(deployment: Obj, now: datetime) -> list[Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return [
        meta.name(deployment),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        printing.age_of(deployment, now),
        *workload.wide(spec),
    ]


HOOKS = Hooks(default=default, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells)
