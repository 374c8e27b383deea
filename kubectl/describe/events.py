"""The Events block that ends most descriptions."""

from __future__ import annotations

from api.meta import Obj
from kubectl.describe.sheet import Sheet


def events_block(sheet: Sheet, events: list[Obj] | None) -> None:
    """None means that events were not asked for."""
    if events is None:
        return
    if not events:
        sheet.line(0, "Events:\t<none>")
        return
    sheet.line(0, "Events:")
    sheet.line(1, "Type\tReason\tAge\tFrom\tMessage")
    sheet.line(1, "----\t------\t----\t----\t-------")
    for event in sorted(events, key=last_seen):
        source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
        message = str(event.get("message") or "").strip()
        path = (event.get("involvedObject") or {}).get("fieldPath")
        if path:
            message = f"{path}: {message}"
        sheet.line(1, f"{event.get('type', '')}\t{event.get('reason', '')}\t{seen(sheet, event)}\t{source}\t{message}")


def last_seen(event: Obj) -> str:
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp", "")
    )


def seen(sheet: Sheet, event: Obj) -> str:
    """`5s`, or `3s (x4 over 20s)` for a repeated event."""
    first = sheet.since(event.get("eventTime") or event.get("firstTimestamp"))
    series = event.get("series")
    if series:
        return f"{sheet.since(series.get('lastObservedTime'))} (x{series.get('count', 0)} over {first})"
    if (event.get("count") or 0) > 1:
        return f"{sheet.since(event.get('lastTimestamp'))} (x{event['count']} over {first})"
    return first
