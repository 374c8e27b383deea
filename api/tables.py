"""The Table form of objects, which `kubectl get` prints (meta.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from api import meta, printing
from api.meta import Obj
from api.registry import Column, Resource

_STANDARD = (Column("Name", format="name"), Column("Age"))
_DOCS = {
    "Name": "Name must be unique within a namespace. Is required when creating resources, although some resources "
    "may allow a client to request the generation of an appropriate name automatically.",
    "Age": "CreationTimestamp is a timestamp representing the server time when this object was created.",
}


def columns(resource: Resource) -> list[Obj]:
    """columnDefinitions of a resource."""
    return [
        {
            "name": c.name,
            "type": c.type,
            "format": c.format,
            "description": c.description or _DOCS.get(c.name, ""),
            "priority": c.priority,
        }
        for c in resource.hooks.columns or _STANDARD
    ]


def cells(resource: Resource, obj: Obj, now: datetime) -> list[Any]:
    if resource.hooks.cells is not None:
        return resource.hooks.cells(obj, now)
    return [meta.name(obj), printing.age_of(obj, now)]


def partial(obj: Obj) -> Obj:
    """The object as PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(
    resource: Resource,
    items: Iterable[Obj],
    now: datetime,
    *,
    include: str = "Metadata",
    list_meta: Obj | None = None,
    headers: bool = True,
) -> Obj:
    """A Table of `items`. `include` says what each row carries: Metadata, Object or None."""
    if resource.hooks.order is not None:
        items = sorted(items, key=resource.hooks.order)
    rows = []
    for obj in items:
        row: Obj = {"cells": cells(resource, obj, now)}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta or {},
        "columnDefinitions": columns(resource) if headers else [],
        "rows": rows,
    }
