"""The rows of events.k8s.io/v1: the events of the core group in another form."""

from __future__ import annotations

from dataclasses import replace

from api.groups.core import EVENTS
from api.kinds import event
from api.registry import Resource

NEW_EVENTS = replace(
    EVENTS,
    group="events.k8s.io",
    hooks=event.NEW,
    stored_as=EVENTS,
    fields={
        f"regarding.{name}": ""
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    }
    | dict.fromkeys(("reason", "reportingController", "type"), ""),
    field_paths={},
)

ROWS: tuple[Resource, ...] = (NEW_EVENTS,)
