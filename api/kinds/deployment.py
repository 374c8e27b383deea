"""Deployment: defaults, validation, columns."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import forbidden_field, invalid
from api.kinds import workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, not_negative, one_of

_PERCENT = re.compile(r"^[0-9]+%$")


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
    errors = workload.selector_and_template(spec, old and old.get("spec"), "deployment")
    for name in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        errors += not_negative(spec, name, "spec")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= spec.get("minReadySeconds", 0):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors + _strategy(spec.get("strategy") or {})


def _strategy(strategy: Obj) -> Errors:
    at = "spec.strategy"
    errors = one_of(strategy.get("type"), ("Recreate", "RollingUpdate"), f"{at}.type")
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        return [forbidden_field(f"{at}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")]
    if rolling is None:
        return errors
    values = {name: rolling.get(name, 0) for name in ("maxUnavailable", "maxSurge")}
    for name, value in values.items():
        errors += _int_or_percent(value, f"{at}.rollingUpdate.{name}")
    if not errors and all(_is_zero(v) for v in values.values()):
        errors.append(
            invalid(
                f"{at}.rollingUpdate.maxUnavailable",
                values["maxUnavailable"],
                "may not be 0 when `maxSurge` is 0",
            )
        )
    if not errors and isinstance(values["maxUnavailable"], str) and int(values["maxUnavailable"][:-1]) > 100:
        errors.append(
            invalid(
                f"{at}.rollingUpdate.maxUnavailable",
                values["maxUnavailable"],
                "must not be greater than 100%",
            )
        )
    return errors


def _int_or_percent(value: int | str, field: str) -> Errors:
    if isinstance(value, int):
        return [invalid(field, value, "must be greater than or equal to 0")] if value < 0 else []
    if not _PERCENT.match(value):
        return [
            invalid(field, value, "a valid percent string must be a numeric string followed by an ending '%' "
                    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")
        ]  # fmt: skip
    return []


def _is_zero(value: int | str) -> bool:
    return value in (0, "0%")


COLUMNS = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Up-to-date"),
    Column("Available"),
    Column("Age"),
    Column("Containers", priority=1),
    Column("Images", priority=1),
    Column("Selector", priority=1),
)


def cells(deployment: Obj, now: datetime) -> list[Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return [
        meta.name(deployment),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        printing.age_of(deployment, now),
        *workload.container_columns(spec["template"]),
        workload.selector_text(spec.get("selector")),
    ]


HOOKS = Hooks(default=default, validate=validate, columns=COLUMNS, cells=cells)
