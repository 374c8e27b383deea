"""Event: the involved object's namespace, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import invalid
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors


def validate(event: Obj, old: Obj | None) -> Errors:
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    namespace = meta.namespace(event)
    # Events of cluster-scoped objects live in the default namespace.
    if involved != namespace and (involved or namespace not in ("default", "kube-system")):
        return [invalid("involvedObject.namespace", involved, "does not match event.namespace")]
    return []


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
    Column("Name", priority=1),
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


HOOKS = Hooks(validate=validate, columns=COLUMNS, cells=cells)
