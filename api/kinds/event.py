"""Event, of core/v1 and of events.k8s.io/v1: validation, the two forms, columns.

Rules: k8s.io/kubernetes/pkg/apis/core/validation/events.go. Events are stored as core/v1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import invalid, required
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, immutable, qualified_name

_AGREE = "does not match event.namespace"
_LONGEST, _LONGEST_NOTE = 128, 1024
# core/v1 → events.k8s.io/v1
_NAMES = {
    "involvedObject": "regarding", "message": "note", "reportingComponent": "reportingController",
    "source": "deprecatedSource", "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp", "count": "deprecatedCount",
}  # fmt: skip
_BACK = {new: old for old, new in _NAMES.items()}


def default(event: Obj) -> None:
    event.setdefault("involvedObject", {})


def _legacy(event: Obj, component: str) -> Errors:
    involved, namespace = (event.get("involvedObject") or {}).get("namespace") or "", meta.namespace(event)
    if not event.get("eventTime"):
        agrees = involved == namespace or (not involved and namespace == "default")
        return [] if agrees else [invalid("involvedObject.namespace", involved, _AGREE)]
    errors: Errors = []
    if not involved and namespace not in ("default", "kube-system"):
        errors.append(invalid("involvedObject.namespace", involved, _AGREE))
    controller = event.get("reportingComponent") or ""
    errors += [] if controller else [required(component)]
    errors += qualified_name(controller, component)
    for name in ("reportingInstance", "action", "reason"):
        value = event.get(name) or ""
        if not value:
            errors.append(required(name))
        elif len(value) > _LONGEST:
            errors.append(invalid(name, "", f"can have at most {_LONGEST} characters"))
    if len(event.get("message") or "") > _LONGEST_NOTE:
        errors.append(invalid("message", "", f"can have at most {_LONGEST_NOTE} characters"))
    return errors


def validate(event: Obj, old: Obj | None) -> Errors:
    return _legacy(event, "reportingComponent")


def validate_new(event: Obj, old: Obj | None) -> Errors:
    """events.k8s.io/v1 takes no events in the old way of counting, and they hardly change."""
    core = to_core(event)
    errors = _legacy(core, "reportingController")
    if old is not None:
        before = to_core(old)
        series = core.get("series")
        if series is not None and series != before.get("series"):
            if series.get("count", 0) < 2:
                errors.append(invalid("series.count", "", "should be at least 2"))
            if not series.get("lastObservedTime"):
                errors.append(required("series.lastObservedTime"))
        for name in ("involvedObject", "reason", "reportingComponent", "reportingInstance", "action", "related",
                     "message", "type", "firstTimestamp", "lastTimestamp", "count", "source", "eventTime"):  # fmt: skip
            field = "reportingController" if name == "reportingComponent" else name
            errors += immutable(core.get(name), before.get(name), field)
        return errors
    if not core.get("eventTime"):
        errors.append(required("eventTime"))
    if core.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {core.get('type') or ''}"))
    errors += [
        invalid(name, "", "needs to be unset")
        for name in ("firstTimestamp", "lastTimestamp", "count", "source")
        if core.get(name)
    ]
    return errors


def to_core(event: Obj) -> Obj:
    core = {_BACK.get(name, name): value for name, value in event.items()}
    core.setdefault("involvedObject", {})
    return core


def from_core(event: Obj) -> Obj:
    return {_NAMES.get(name, name): value for name, value in event.items()}


COLUMNS = (
    Column("Last Seen"),
    Column("Type"),
    Column("Reason"),
    Column("Object"),
    Column("Subobject", priority=1),
    Column("Source", priority=1),
    Column("Message"),
    Column("First Seen", priority=1),
    Column("Count", priority=1),
    Column("Name", format="name", priority=1),
)


def cells(event: Obj, now: datetime) -> list[Any]:
    involved, source, series = (
        event.get("involvedObject") or {},
        event.get("source") or {},
        event.get("series") or {},
    )
    created = event["metadata"].get("creationTimestamp")
    first = event.get("firstTimestamp") or event.get("eventTime") or created
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    where = (
        f"{involved.get('kind', '').lower()}/{involved['name']}"
        if involved.get("name")
        else involved.get("kind", "").lower()
    )
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return [
        printing.since(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        where,
        involved.get("fieldPath", ""),
        f"{component}, {host}" if host else component,
        (event.get("message") or "").strip(),
        printing.since(first, now),
        series.get("count") or event.get("count") or 1,
        meta.name(event),
    ]


HOOKS = Hooks(default=default, validate=validate, columns=COLUMNS, cells=cells)
NEW = Hooks(
    validate=validate_new,
    columns=COLUMNS,
    cells=lambda event, now: cells(to_core(event), now),
    to_stored=to_core,
    from_stored=from_core,
)
