"""Any kind that has no description of its own: its fields, in upstream's spelled-out form."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from api.meta import Obj
from kubectl.describe.events import events_block
from kubectl.describe.sheet import Sheet

_HIDDEN = {
    ("metadata", "name"), ("metadata", "namespace"), ("metadata", "labels"), ("metadata", "annotations"),
    ("metadata", "managedFields"), ("apiVersion",),
}  # fmt: skip
_ACRONYMS = {"Api": "API", "Ip": "IP", "Ips": "IPs", "Uid": "UID", "Url": "URL", "Cpu": "CPU", "Id": "ID",
             "Tcp": "TCP", "Udp": "UDP", "Tls": "TLS", "Http": "HTTP", "Dns": "DNS"}  # fmt: skip


def generic(obj: Obj, events: list[Obj] | None, now: datetime) -> str:
    sheet = Sheet(now)
    metadata = obj["metadata"]
    sheet.line(0, f"Name:\t{metadata['name']}")
    sheet.line(0, f"Namespace:\t{metadata.get('namespace', '')}")
    sheet.labels("Labels", metadata.get("labels"))
    sheet.annotations(metadata.get("annotations"))
    sheet.line(0, f"API Version:\t{obj.get('apiVersion', '')}")
    _fields(sheet, 0, obj, ())
    events_block(sheet, events)
    return sheet.text()


def _fields(sheet: Sheet, level: int, value: dict[str, Any], path: tuple[str, ...]) -> None:
    for key in sorted(value):
        here = (*path, key)
        if here in _HIDDEN:
            continue
        label, item = spelled(key), value[key]
        if isinstance(item, dict):
            sheet.line(level, f"{label}:")
            _fields(sheet, level + 1, item, here)
        elif isinstance(item, list):
            sheet.line(level, f"{label}:")
            _items(sheet, level + 1, item, here)
        else:
            sheet.line(level, f"{label}:\t{_scalar(item)}")


def _items(sheet: Sheet, level: int, items: list[Any], path: tuple[str, ...]) -> None:
    for item in items:
        if isinstance(item, dict):
            _fields(sheet, level, item, path)
        elif isinstance(item, list):
            _items(sheet, level + 1, item, path)
        else:
            sheet.line(level, _scalar(item))


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def spelled(key: str) -> str:
    """`creationTimestamp` → `Creation Timestamp`, `apiVersion` → `API Version`."""
    if not key or not key[0].isalpha() or "/" in key or "." in key:
        return key
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+", key)
    return " ".join(_ACRONYMS.get(word.capitalize(), word[:1].upper() + word[1:]) for word in words)
