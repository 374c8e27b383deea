"""DaemonSet: defaults, validation, the counter of its template's changes, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import invalid, not_supported, required
from api.kinds import workload
from api.meta import Obj
from api.registry import Column, Hooks
from api.rules import NOT_NEGATIVE, check
from api.validation import Errors, shown

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_COUNTS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def default(daemon_set: Obj) -> None:
    spec = daemon_set.setdefault("spec", {})
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    workload.default_template(spec)


def prepare(daemon_set: Obj, old: Obj | None) -> None:
    """The annotation counts the changes of the template."""
    count = 1
    if old is None:
        daemon_set["status"] = dict.fromkeys(_COUNTS, 0)
    else:
        before = meta.annotations(old).get(TEMPLATE_GENERATION, "1")
        changed = daemon_set["spec"].get("template") != old["spec"].get("template")
        count = int(before) + changed if before.isdigit() else 1
    annotations = daemon_set["metadata"].get("annotations") or {}
    daemon_set["metadata"]["annotations"] = {**annotations, TEMPLATE_GENERATION: str(count)}


def validate(daemon_set: Obj, old: Obj | None) -> Errors:
    spec = daemon_set.get("spec") or {}
    errors = workload.selector_and_template(spec, old and old["spec"], empty_for="daemonset", kind="DaemonSet")
    errors += check(spec, "spec", (("minReadySeconds", NOT_NEGATIVE),))
    errors += _strategy(spec.get("updateStrategy") or {}, "spec.updateStrategy")
    return errors + check(spec, "spec", (("revisionHistoryLimit", NOT_NEGATIVE),))


def _strategy(strategy: Obj, at: str) -> Errors:
    if strategy.get("type") == "OnDelete":
        return []
    if strategy.get("type") != "RollingUpdate":
        return [not_supported(at, shown(strategy), ("RollingUpdate", "OnDelete"))]
    rolling, at = strategy.get("rollingUpdate"), f"{at}.rollingUpdate"
    if rolling is None:
        return [required(at)]
    errors: Errors = []
    for rule in (workload.int_or_percent, workload.at_most_all):
        errors += [e for name in ("maxUnavailable", "maxSurge") for e in rule(rolling.get(name), f"{at}.{name}")]
    unavailable, surge = (not workload.is_zero(rolling.get(name)) for name in ("maxUnavailable", "maxSurge"))
    if unavailable and surge:
        text = "may not be set when maxUnavailable is non-zero"
        errors.append(invalid(f"{at}.maxSurge", rolling["maxSurge"], text))
    elif not unavailable and not surge:
        errors.append(required(f"{at}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def validate_status(daemon_set: Obj, old: Obj | None) -> Errors:
    status = daemon_set.get("status") or {}
    names = (*_COUNTS, "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
             "collisionCount")  # fmt: skip
    return workload.counts(status, "status", names) + workload.collisions(status, old)


COLUMNS = (
    Column("Name", format="name"),
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    Column("Up-to-date", "integer"),
    Column("Available", "integer"),
    Column("Node Selector"),
    Column("Age"),
    *workload.WIDE,
)
_SHOWN = (
    "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
)  # fmt: skip


def cells(daemon_set: Obj, now: datetime) -> list[Any]:
    spec, status = daemon_set["spec"], daemon_set.get("status") or {}
    return [
        meta.name(daemon_set),
        *(status.get(name, 0) for name in _SHOWN),
        printing.labels((spec["template"].get("spec") or {}).get("nodeSelector")),
        printing.age_of(daemon_set, now),
        *workload.wide(spec),
    ]


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells
)
