"""Dropping what a structural schema does not know, and what clients said with null.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning
Functions edit the value they are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.custom.schema import Schema

Path = tuple[str | int, ...]
META_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"


def child_of(schema: Schema, name: str) -> Schema | None:
    """The schema of a field or of a map's values; None when there is none."""
    found: Schema | None = (schema.get("properties") or {}).get(name)
    if found is None:
        extra = schema.get("additionalProperties")
        return extra if isinstance(extra, dict) else None
    return found


def prune(obj: Any, schema: Schema, *, root: bool = True) -> None:
    """Remove unknown fields. A resource's apiVersion, kind and metadata are kept."""
    for path in list(unknown_fields(obj, schema, root=root)):
        at = obj
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]


def unknown_fields(obj: Any, schema: Schema, *, root: bool = True) -> Iterator[Path]:
    """Where `obj` has what `schema` does not know."""
    return _unknown(obj, {**schema, EMBEDDED: True} if root else schema, ())


def _unknown(value: Any, schema: Schema | None, path: Path) -> Iterator[Path]:
    schema = schema or {}
    if isinstance(value, list):
        items = schema.get("items")
        # The items of a list that is preserved are preserved too.
        inner = {**(items or {}), PRESERVE: True} if schema.get(PRESERVE) else items
        for index, item in enumerate(value):
            yield from _unknown(item, inner, (*path, index))
        return
    if not isinstance(value, dict):
        return
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    embedded, preserved = schema.get(EMBEDDED), schema.get(PRESERVE)
    for name, item in value.items():
        if embedded and name in META_FIELDS:
            continue
        if name in properties:
            if isinstance(item, dict | list):
                yield from _unknown(item, properties[name], (*path, name))
        elif extra:
            yield from _unknown(item, extra if isinstance(extra, dict) else None, (*path, name))
        elif not preserved:
            yield (*path, name)


def drop_nulls(value: Any, schema: Schema | None) -> None:
    """Remove fields that are null where the schema does not allow null and has no default to put instead."""
    if schema is None:
        return
    if isinstance(value, list):
        for item in value:
            drop_nulls(item, schema.get("items"))
    elif isinstance(value, dict):
        for name in list(value):
            child = child_of(schema, name)
            if value[name] is None:
                if child is not None and not child.get("nullable"):
                    del value[name]
            else:
                drop_nulls(value[name], child)


def embedded_resources(value: Any, schema: Schema | None, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object inside `value` that the schema says is a whole resource."""
    if schema is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from embedded_resources(item, schema.get("items"), (*path, index))
    elif isinstance(value, dict):
        if schema.get(EMBEDDED):
            yield path, value
        for name, item in value.items():
            if isinstance(item, dict | list):
                yield from embedded_resources(item, child_of(schema, name), (*path, name))
