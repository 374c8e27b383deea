"""The patch that `apply` sends: from what was last applied, what is wanted now, and what the server has.

A field in `original` but no longer in `modified` is deleted; a field of `modified` that differs from
`current` is set; everything else on the server stays as it is.
"""

from __future__ import annotations

from typing import Any

from api import schemas
from api.meta import Obj
from api.registry import Resource
from api.schemas import Schema


def merge(resource: Resource | None, original: Obj | None, modified: Obj, current: Obj) -> Obj:
    """A strategic merge patch when the kind's schema is known, else a JSON merge patch; {} when nothing differs.

    `original` is the last-applied configuration (None when there was none). Inputs are left as they are.
    """
    schema = schemas.schema_of(resource) if resource is not None else None
    if schema is None:
        return _json(original or {}, modified, current)
    return _map(original or {}, modified, current, schema)


def _json(original: Obj, modified: Obj, current: Obj) -> Obj:
    patch: Obj = {key: None for key in original if key not in modified and key in current}
    for key, want in modified.items():
        have, was = current.get(key), original.get(key)
        if isinstance(want, dict) and isinstance(have, dict):
            inner = _json(was if isinstance(was, dict) else {}, want, have)
            if inner:
                patch[key] = inner
        elif key not in current or have != want:
            patch[key] = want
    return patch


def _map(original: Obj, modified: Obj, current: Obj, schema: Schema) -> Obj:
    patch: Obj = {key: None for key in original if key not in modified and key in current}
    for key, want in modified.items():
        child = schemas.property_of(schema, key)
        have, was = current.get(key), original.get(key)
        if want is None:
            if key in current:
                patch[key] = None
        elif isinstance(want, dict) and isinstance(have, dict):
            inner = _map(was if isinstance(was, dict) else {}, want, have, schemas.resolve(child))
            if inner:
                if "retainKeys" in schemas.list_merge(child).strategies:
                    inner["$retainKeys"] = sorted(want)
                patch[key] = inner
        elif isinstance(want, list) and isinstance(have, list):
            patch.update(_list(key, was if isinstance(was, list) else [], want, have, child))
        elif have != want:
            patch[key] = want
    return patch


def _list(key: str, was: list[Any], want: list[Any], have: list[Any], schema: Schema | None) -> Obj:
    directives = schemas.list_merge(schema)
    if "merge" not in directives.strategies:
        return {key: want} if want != have else {}
    if directives.key is None:
        return _primitives(key, was, want, have)
    return _objects(key, was, want, have, directives.key, schemas.items_of(schema or {}))


def _primitives(key: str, was: list[Any], want: list[Any], have: list[Any]) -> Obj:
    gone = [v for v in was if v not in want and v in have]
    added = [v for v in want if v not in have]
    if not gone and not added:
        return {}
    patch: Obj = {f"$setElementOrder/{key}": want}
    if added:
        patch[key] = added
    if gone:
        patch[f"$deleteFromPrimitiveList/{key}"] = gone
    return patch


def _objects(key: str, was: list[Any], want: list[Any], have: list[Any], by: str, item: Schema) -> Obj:
    if any(by not in e for e in (*want, *have) if isinstance(e, dict)):
        return {key: want} if want != have else {}  # an element without its merge key: replace as a whole
    if len({e[by] for e in want}) < len(want):
        # Two elements share the merge key (a port on TCP and UDP): they can only be replaced together.
        same = len(want) == len(have) and not any(_map({}, w, h, item) for w, h in zip(want, have, strict=True))
        return {} if same else {key: [{"$patch": "replace"}, *want]}
    old = {e[by]: e for e in was if by in e}
    present = {e[by]: e for e in have}
    wanted = {e[by]: e for e in want}
    changes: list[Obj] = []
    for identity, element in wanted.items():
        if identity not in present:
            changes.append(element)
            continue
        inner = _map(old.get(identity, {}), element, present[identity], item)
        if inner:
            changes.append({**inner, by: identity})
    changes += [{"$patch": "delete", by: i} for i in old if i not in wanted and i in present]
    order = list(wanted)
    moved = [i for i in present if i in wanted] != [i for i in order if i in present]
    if not changes and not moved:
        return {}
    patch: Obj = {f"$setElementOrder/{key}": [{by: i} for i in order]}
    if changes:
        patch[key] = changes
    return patch
