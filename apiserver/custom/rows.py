"""From a CustomResourceDefinition to rows of the registry, one per version (pure)."""

from __future__ import annotations

import orjson

from api.custom.behaviour import hooks_of
from api.custom.columns import columns_of
from api.custom.schema import CustomSchema
from api.meta import Obj
from api.registry import Resource
from apiserver.served import version_order


def rows_of(definition: Obj) -> dict[str, Resource]:
    """Version → row, of every version, served or not, the one that is stored first. Empty without accepted names."""
    spec, names = definition["spec"], (definition.get("status") or {}).get("acceptedNames") or {}
    if not names.get("kind") or not names.get("plural"):
        return {}
    stored: Resource | None = None
    rows: dict[str, Resource] = {}
    for version in sorted(spec["versions"], key=lambda v: not v.get("storage")):
        rows[version["name"]] = row = _row(definition, version, names, stored)
        stored = stored or row
    return rows


def _row(definition: Obj, version: Obj, names: Obj, stored: Resource | None) -> Resource:
    spec = definition["spec"]
    subresources = version.get("subresources") or {}
    custom = CustomSchema(
        definition=definition["metadata"]["name"],
        schema=orjson.dumps((version.get("schema") or {}).get("openAPIV3Schema") or {}),
        preserves_unknown=bool(spec.get("preserveUnknownFields")),
        scale=subresources.get("scale") or {},
        list_kind=names.get("listKind") or f"{names['kind']}List",
    )
    selectable = [field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or []]
    columns, cells = columns_of(version)
    return Resource(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        names.get("singular") or names["kind"].lower(),
        spec["scope"] == "Namespaced",
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
        subresources=tuple(name for name in ("scale", "status") if name in subresources),
        fields=dict.fromkeys(selectable, ""),
        has_generation=True,
        needs_version=True,
        hooks=hooks_of(custom, columns, cells),
        stored_as=stored,
        custom=custom,
        deprecation=_deprecation(spec, version),
    )


def _deprecation(spec: Obj, version: Obj) -> str:
    """What upstream's customresource_handler tells clients of a deprecated version."""
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    kind = spec["names"]["kind"]
    said = f"{spec['group']}/{version['name']} {kind} is deprecated"
    mine = version_order(version["name"])
    better = [v["name"] for v in spec["versions"] if v.get("served") and not v.get("deprecated")]
    better = sorted((name for name in better if version_order(name) < mine), key=version_order)
    return f"{said}; use {spec['group']}/{better[0]} {kind}" if better else said
