"""Strategic merge patch: a merge patch that knows which lists are maps or sets.

Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/<list>`,
`$deleteFromPrimitiveList/<list>`. Rules:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any

from api import schemas
from api.errors import BadRequest
from api.meta import Obj
from api.registry import Resource
from api.schemas import Schema

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def apply(resource: Resource, obj: Obj, patch: Any) -> Obj:
    """A new object. BadRequest when the patch is malformed."""
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a strategic merge patch is an object")
    return _merge_map(obj, patch, schemas.schema_of(resource) or {})


def _merge_map(target: Obj, patch: Obj, schema: Schema) -> Obj:
    match patch.get(_PATCH):
        case None | "merge":
            pass
        case "replace":
            return _plain(patch)
        case "delete":
            return {}
        case other:
            raise BadRequest(f"unknown patch type found: {other}")
    result = dict(target)
    if _RETAIN in patch:
        result = _retained(result, patch)
    orders = {k.removeprefix(_ORDER): v for k, v in patch.items() if k.startswith(_ORDER)}
    deletions = {k.removeprefix(_DELETE): v for k, v in patch.items() if k.startswith(_DELETE)}
    for key, gone in deletions.items():
        if isinstance(result.get(key), list):
            result[key] = [v for v in result[key] if v not in gone]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
            continue
        child = schemas.property_of(schema, key)
        old = result.get(key)
        if isinstance(value, dict):
            merged = _merge_map(old if isinstance(old, dict) else {}, value, schemas.resolve(child))
            if merged or value.get(_PATCH) != "delete":
                result[key] = merged
            else:
                result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _merge_list(old if isinstance(old, list) else [], value, child, orders.get(key))
        else:
            result[key] = value
    for key, order in orders.items():
        if key not in patch and isinstance(result.get(key), list):
            child = schemas.property_of(schema, key)
            result[key] = _in_order(result[key], order, schemas.list_merge(child).key, result[key])
    return result


def _retained(result: Obj, patch: Obj) -> Obj:
    keep = patch[_RETAIN]
    strangers = [k for k in patch if not k.startswith("$") and k not in keep and patch[k] is not None]
    if strangers:
        raise BadRequest(f"{_RETAIN} list doesn't contain all the keys in the patch: {strangers}")
    return {k: v for k, v in result.items() if k in keep}


def _merge_list(old: list[Any], new: list[Any], schema: Schema | None, order: list[Any] | None) -> list[Any]:
    merge = schemas.list_merge(schema)
    if "merge" not in merge.strategies:
        return _plain_list(new)
    if merge.key is None:
        merged = old + [v for v in new if v not in old]
        return _in_order(merged, order or new, None, old)
    if any(not isinstance(item, dict) for item in new):
        raise BadRequest(f"expected a list of objects with merge key {merge.key}")
    return _merge_by_key(old, new, merge.key, schemas.items_of(schema or {}), order)


def _merge_by_key(old: list[Any], new: list[Obj], key: str, item: Schema, order: list[Any] | None) -> list[Any]:
    if any(e.get(_PATCH) == "replace" and len(e) == 1 for e in new):
        return _plain_list([e for e in new if not (e.get(_PATCH) == "replace" and len(e) == 1)])
    result = list(old)
    for element in new:
        if key not in element:
            raise BadRequest(f"map: {element} does not contain declared merge key: {key}")
        matching = [i for i, e in enumerate(result) if isinstance(e, dict) and e.get(key) == element[key]]
        if element.get(_PATCH) == "delete":
            result = [e for i, e in enumerate(result) if i not in matching]
        elif matching:
            result[matching[0]] = _merge_map(result[matching[0]], element, item)
        else:
            result.append(_merge_map({}, element, item))
    return _in_order(result, order or new, key, old)


def _in_order(merged: list[Any], order: list[Any], key: str | None, before: list[Any]) -> list[Any]:
    """`merged` sorted as `order` asks, else as the patch lists it. What is not named there keeps its order, and
    goes in before the first named element that followed it in `before`: a new element comes first."""

    def identity(element: Any) -> Any:
        return element.get(key) if key and isinstance(element, dict) else element

    wanted, old = [identity(e) for e in order], [identity(e) for e in before]
    named = sorted((e for e in merged if identity(e) in wanted), key=lambda e: wanted.index(identity(e)))
    others = [e for e in merged if identity(e) not in wanted]
    result: list[Any] = []
    while named and others:
        one, other = identity(named[0]), identity(others[0])
        first = one in old and other in old and old.index(other) < old.index(one)
        result.append((others if first else named).pop(0))
    return result + named + others


def _plain(patch: Obj) -> Obj:
    """What a patch adds where there was nothing: itself, without directives and deletions."""
    return {k: _plain_value(v) for k, v in patch.items() if not k.startswith("$") and v is not None}


def _plain_list(patch: list[Any]) -> list[Any]:
    return [_plain_value(v) for v in patch if not (isinstance(v, dict) and v.get(_PATCH) == "delete")]


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    return _plain_list(value) if isinstance(value, list) else value
