"""Ages and lists as the API's tables print them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from api import meta


def age(seconds: float) -> str:
    """Upstream's HumanDuration: `45s`, `5m10s`, `3h25m`, `2d3h`, `45d`, `2y31d`."""
    s = int(seconds)
    if s < -1:
        return "<invalid>"
    if s < 0:
        return "0s"
    if s < 120:
        return f"{s}s"
    minutes = s // 60
    if minutes < 10:
        return f"{minutes}m{s % 60}s" if s % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = s // 3600
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    years = days // 365
    if days < 365 * 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def since(timestamp: str | None, now: datetime) -> str:
    return age((now - meta.parse_time(timestamp)).total_seconds()) if timestamp else "<unknown>"


def age_of(obj: Mapping[str, Any], now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(values: Mapping[str, str] | None) -> str:
    """`a=1,b=2`, or `<none>`."""
    return ",".join(f"{k}={v}" for k, v in sorted((values or {}).items())) or "<none>"


def join(values: Iterable[str]) -> str:
    return ",".join(values) or "<none>"


def diff(before: Any, after: Any) -> str:
    """What differs, as a unified diff of both as indented JSON: for messages about fields that may not change."""
    old, new = (json.dumps(value, indent=1, sort_keys=True).splitlines() for value in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, lineterm=""))[2:])
