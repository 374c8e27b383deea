"""Strategic merge patch: a merge patch that knows which lists are maps or sets.

Directives: `$patch: replace|delete`, `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`.
What there is nothing to merge with is taken without nulls and without what bears `$patch`; other directives in it are
left for decoding to tell of, as upstream does. Rules and error texts: k8s.io/apimachinery/pkg/util/strategicpatch and
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from typing import Any

from api import meta, schemas
from api.errors import BadRequest, rejected, unexplained
from api.meta import Obj
from api.patch import go
from api.registry import Resource
from api.schemas import Schema

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER, _DELETE = "$setElementOrder", "$deleteFromPrimitiveList"


def apply(resource: Resource, obj: Obj, patch: Any) -> Obj:
    """A new object. BadRequest or Invalid when the patch is malformed."""
    if not isinstance(patch, dict):
        kind = "array" if isinstance(patch, list) else go.type_of(patch)
        raise BadRequest(f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
    return _merge_map(meta.copied(obj), meta.copied(patch), schemas.schema_of(resource) or {})


def _merge_map(target: Obj, patch: Obj, schema: Schema) -> Obj:
    """Both may be changed, and be part of the result."""
    if _PATCH in patch:
        directive = patch[_PATCH]
        if directive == "replace":
            return {k: v for k, v in patch.items() if k != _PATCH}
        if directive == "delete":
            return {}
        raise _unknown_type(directive, patch)
    _retain(target, patch)
    for key in [k for k in patch if k.startswith(_ORDER)]:
        _merge_ordered(target, patch, key, schema)
    for key, value in patch.items():
        deletes = key.startswith(_DELETE)
        name = _listed(key, _DELETE, "primitive list") if deletes else key
        if value is None:
            target.pop(name, None)
        elif name not in target or type(target[name]) is not type(value):
            if not deletes:
                target[name] = _taken(value)
            if _directs(value):
                target.pop(name, None)
        else:
            target[name] = _merge(target[name], value, schemas.property_of(schema, name), deletes)
    return target


def _taken(value: Any, *, nulls: bool = False) -> Any:
    """`value` where there is nothing to merge it with."""
    if isinstance(value, dict):
        return {k: _taken(v, nulls=nulls) for k, v in value.items() if (nulls or v is not None) and not _directs(v)}
    if isinstance(value, list):
        return [_taken(v, nulls=nulls) for v in value if not _directs(v)]
    return value


def _directs(value: Any) -> bool:
    return isinstance(value, dict) and _PATCH in value


def _merge(old: Any, new: Any, field: Schema | None, deletes: bool) -> Any:
    """Two values of the same type."""
    strategies = schemas.list_merge(field).strategies
    if isinstance(new, dict) and "replace" not in strategies:
        return _merge_map(old, new, schemas.resolve(field))
    if isinstance(new, list) and "merge" in strategies:
        return _merge_list(old, new, field or {}, deletes)
    return new


def _retain(target: Obj, patch: Obj) -> None:
    if _RETAIN not in patch:
        return
    keep = patch.pop(_RETAIN)
    strangers = [
        k for k, v in patch.items()
        if v is not None and not k.startswith((_DELETE, _ORDER)) and not (isinstance(keep, list) and k in keep)
    ]  # fmt: skip
    if strangers or not isinstance(keep, list):
        raise BadRequest("invalid patch format of retainKeys")
    for key in [k for k in target if k not in keep]:
        del target[key]


def _listed(key: str, prefix: str, what: str) -> str:
    """The list that a directive such as `$setElementOrder/containers` is about."""
    found, slash, name = key.partition("/")
    if found != prefix or not slash:
        raise BadRequest(f"invalid patch format of {what}")
    return name


def _merge_ordered(target: Obj, patch: Obj, key: str, schema: Schema) -> None:
    """A list and the order that its elements are to have, taken out of `patch`."""
    order = patch.pop(key)
    if not isinstance(order, list):
        raise _mistyped([], order)
    name = _listed(key, _ORDER, "setElementOrder list")
    for side in (target, patch):
        if name in side and not isinstance(side[name], list):
            raise _mistyped([], side[name])
    field = schemas.property_of(schema, name)
    by, before, new = schemas.list_merge(field).key, target.get(name), patch.pop(name, None)
    _check_order(new or [], order, by)
    if before is None and new is None:
        return
    merged: list[Any]
    if before is None or new is None:
        merged = _taken(new, nulls=True) if before is None else before
    else:
        merged = _merge(list(before), new, field, False)
    if not before and not new:
        raise unexplained("no elements in any of the given slices")
    target[name] = in_order(merged, order, before or [], by)


def _check_order(patch: list[Any], order: list[Any], key: str | None) -> None:
    """The elements of a patch must come in the order that it asks for."""
    if not order or not patch:
        return
    left = [e for e in patch if not (isinstance(e, dict) and e.get(_PATCH) == "delete")]
    at = 0
    for wanted in order:
        while at < len(left) and isinstance(left[at], dict) and _PATCH in left[at]:
            at += 1
        if at < len(left) and _identity(left[at], key) == _identity(wanted, key):
            at += 1
    if at < len(left):
        raise unexplained(
            f"The order in patch list:\n{go.plain(patch)}\n doesn't match {_ORDER} list:\n{go.plain(order)}\n\n"
        )


def _merge_list(old: list[Any], new: list[Any], field: Schema, deletes: bool) -> list[Any]:
    if not old and not new:
        return old
    _check_elements(old, new)
    key = schemas.list_merge(field).key
    if not isinstance((old or new)[0], dict):
        if deletes:
            return [v for v in old if v not in new]
        return in_order(_unique(old + new), new, old, None)
    if not key:
        raise unexplained("cannot merge lists without merge key for type struct")
    old, new = _specials(old, new, key)
    merged, item = list(old), schemas.items_of(field)
    for element in new:
        wanted = _identity(element, key)
        index = next((i for i, e in enumerate(merged) if key in e and e[key] == wanted), None)
        if index is None:
            merged.append(element)
        else:
            merged[index] = _merge_map(merged[index], element, item)
    return in_order(merged, new, old, key)


def _check_elements(*lists: list[Any]) -> None:
    elements = [e for each in lists for e in each]
    if any(isinstance(e, list) for e in elements):
        raise rejected()
    if len({type(e) for e in elements}) > 1:
        raise unexplained(f"list element types are not identical: {go.plain(list(lists))}")


def _specials(old: list[Obj], new: list[Obj], key: str) -> tuple[list[Obj], list[Obj]]:
    """Both lists after the elements that bear a directive have done their work."""
    plain: list[Obj] = []
    replaces = False
    for element in new:
        directive = element.get(_PATCH, plain)
        if directive is plain:
            plain.append(element)
        elif directive == "delete":
            gone = _identity(element, key)
            old = [e for e in old if not (key in e and e[key] == gone)]
        elif directive == "replace":
            replaces = True
        elif directive == "merge":
            raise unexplained("merging lists cannot yet be specified in the patch")
        else:
            raise _unknown_type(directive, element)
    return (plain, []) if replaces else (old, plain)


def _unique(values: list[Any]) -> list[Any]:
    result: list[Any] = []
    for value in values:
        if value not in result:
            result.append(value)
    return result


def _identity(element: Any, key: str | None) -> Any:
    if not key:
        return element
    if not isinstance(element, dict):
        raise _mistyped({}, element)
    if key not in element:
        raise unexplained(f"map: {go.plain(element)} does not contain declared merge key: {key}")
    return element[key]


def in_order(merged: list[Any], order: list[Any], before: list[Any], key: str | None) -> list[Any]:
    """`merged` sorted as `order` asks. What is not named there keeps the order of `before`, and goes in before the
    first named element that followed it there: a new element comes first. Deletions come last."""
    wanted, old = [_identity(e, key) for e in order], [_identity(e, key) for e in before]
    named = sorted((e for e in merged if _identity(e, key) in wanted), key=lambda e: wanted.index(_identity(e, key)))
    named.sort(key=lambda e: isinstance(e, dict) and e.get(_PATCH) == "delete")
    others = [e for e in merged if _identity(e, key) not in wanted]
    result: list[Any] = []
    while named and others:
        one, other = _identity(named[0], key), _identity(others[0], key)
        first = one in old and other in old and old.index(other) < old.index(one)
        result.append((others if first else named).pop(0))
    return result + named + others


def _unknown_type(directive: Any, patch: Obj) -> BadRequest:
    return unexplained(f"unknown patch type: {go.plain(directive)} in map: {go.plain(patch)}")


def _mistyped(expected: Any, actual: Any) -> BadRequest:
    return unexplained(f"expected a {go.type_of(expected)}, but received a {go.type_of(actual)}")
