"""Simple JSONPaths: `.spec.replicas`, as the scale subresource and selectable fields use them."""

from __future__ import annotations

from typing import Any

from api.meta import Obj


def steps(path: str) -> list[str]:
    return [step for step in path.split(".") if step]


def get(obj: Any, path: str) -> Any:
    """None when a step is missing."""
    for step in steps(path):
        obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def put(obj: Obj, path: str, value: Any) -> None:
    """Set it, making the objects on the way."""
    *way, last = steps(path)
    for step in way:
        obj = obj.setdefault(step, {})
    obj[last] = value
