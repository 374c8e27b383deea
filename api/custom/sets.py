"""Lists that are sets or maps hold nothing twice (x-kubernetes-list-type)."""

from __future__ import annotations

from typing import Any

from api.custom.pruning import child_of
from api.custom.schema import Schema
from api.custom.validator import key_of
from api.errors import duplicate
from api.validation import Errors


def duplicates(value: Any, schema: Schema | None, at: str) -> Errors:
    if schema is None:
        return []
    errors: Errors = []
    if isinstance(value, dict):
        fields = schema.get("properties") or {}
        for name, item in value.items():
            if isinstance(item, dict | list):
                below = f".{name}" if name in fields else f"[{name}]"
                errors += duplicates(item, child_of(schema, name), f"{at}{below}" if at else name)
    elif isinstance(value, list):
        kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
        seen: set[bytes] = set()
        for index, item in enumerate(value):
            if kind in ("set", "map"):
                key = key_of(item, keys) if kind == "map" else key_of([item], [])
                if key in seen:
                    shown = {k: item[k] for k in keys if k in item} if kind == "map" else item
                    errors.append(duplicate(f"{at}[{index}]", shown))
                seen.add(key)
            if isinstance(item, dict | list):
                errors += duplicates(item, schema.get("items"), f"{at}[{index}]")
    return errors
