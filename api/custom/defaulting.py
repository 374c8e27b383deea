"""Filling in what a structural schema has defaults for.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting
"""

from __future__ import annotations

import copy
from typing import Any

from api.custom.pruning import drop_nulls
from api.custom.schema import Schema


def default(obj: Any, schema: Schema) -> None:
    """Edit `obj`. A null counts as left out, unless the field may be null."""
    fill(obj, schema)
    drop_nulls(obj, schema)


def fill(value: Any, schema: Schema | None) -> None:
    if schema is None:
        return
    if isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            if _is_left_out(item, items):
                value[index] = copy.deepcopy((items or {}).get("default"))
            fill(value[index], items)
        return
    if not isinstance(value, dict):
        return
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, child in properties.items():
        given = child.get("default")
        if given is not None and (name not in value or _is_left_out(value[name], child)):
            value[name] = copy.deepcopy(given)
        if isinstance(value.get(name), dict | list):
            fill(value[name], child)
    if isinstance(extra, dict):
        for name in value:
            if name not in properties:
                if _is_left_out(value[name], extra):
                    value[name] = copy.deepcopy(extra.get("default"))
                fill(value[name], extra)


def _is_left_out(value: Any, schema: Schema | None) -> bool:
    return value is None and schema is not None and not schema.get("nullable")
