"""The patch that client-side apply sends: from what was last applied, what is wanted now, and what the server has.

A field in `original` but no longer in `modified` is deleted; a field of `modified` that differs from `current` is set;
everything else on the server stays as it is. As k8s.io/apimachinery/pkg/util/strategicpatch computes it, with one
difference: elements of a list that share their merge key (a port on TCP and UDP) are replaced together, where upstream
loses one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from api import schemas
from api.meta import Obj
from api.patch.strategic import in_order
from api.registry import Resource
from api.schemas import Schema

_ORDER, _DELETE, _RETAIN, _PATCH = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys", "$patch"


def merge(resource: Resource | None, original: Obj | None, modified: Obj, current: Obj) -> Obj:
    """A strategic merge patch when the kind's schema is known, else a JSON merge patch; {} when nothing differs.

    `original` is the last-applied configuration (None when there was none). Inputs are left as they are.
    """
    schema = schemas.schema_of(resource) if resource is not None else None
    if schema is None:
        return _json(original or {}, modified, current)
    settings = _diff(current, modified, schema, _Wanted(deletions=False))
    deletions = _diff(original or {}, modified, schema, _Wanted(settings=False))
    return _combined(deletions, settings, schema)


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


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which half of a difference is wanted, and whether `$retainKeys` goes with it."""

    settings: bool = True
    deletions: bool = True
    retain: bool = False


def _diff(old: Obj, new: Obj, schema: Schema, wanted: _Wanted) -> Obj:
    patch: Obj = {}
    for key, value in new.items():
        before = old.get(key)
        if key not in old or type(before) is not type(value):
            if wanted.settings:
                patch[key] = value
            continue
        field = schemas.property_of(schema, key)
        strategies = schemas.list_merge(field).strategies
        inner = replace(wanted, retain="retainKeys" in strategies)
        if isinstance(value, dict) and "replace" not in strategies:
            if found := _diff(old[key], value, schemas.resolve(field), inner):
                patch[key] = found
        elif isinstance(value, list) and "merge" in strategies:
            patch |= _diff_lists(key, old[key], value, field or {}, inner)
        elif wanted.settings and before != value:
            patch[key] = value
    if wanted.deletions:
        patch |= {key: None for key in old if key not in new}
    retained = sorted(key for key, value in new.items() if value is not None)
    if wanted.retain and retained and (patch or any(v is not None and k not in new for k, v in old.items())):
        patch[_RETAIN] = retained
    return patch


def _diff_lists(key: str, old: list[Any], new: list[Any], field: Schema, wanted: _Wanted) -> Obj:
    if not old:
        return {key: new} if new and wanted.settings else {}
    by = schemas.list_merge(field).key
    if by is None or not all(isinstance(e, dict) and by in e for e in (*old, *new)):
        return _diff_scalars(key, old, new, wanted)
    item = schemas.items_of(field)
    if any(len({str(e[by]) for e in each}) < len(each) for each in (old, new)):
        same = len(old) == len(new) and not any(_diff(o, n, item, wanted) for o, n in zip(old, new, strict=True))
        return {key: [{_PATCH: "replace"}, *new]} if wanted.settings and not same else {}
    before = {e[by]: e for e in old}
    changes, identities = [], [e[by] for e in new]
    for element in new:
        if element[by] not in before:
            changes += [element] if wanted.settings else []
        elif found := _diff(before[element[by]], element, item, wanted):
            changes.append({**found, by: element[by]})
    if wanted.deletions:
        changes += [{_PATCH: "delete", by: identity} for identity in before if identity not in identities]
    patch: Obj = {key: changes} if changes else {}
    if new and (changes or (wanted.settings and list(before) != identities)):
        patch[_ORDER + key] = [{by: identity} for identity in identities]
    return patch


def _diff_scalars(key: str, old: list[Any], new: list[Any], wanted: _Wanted) -> Obj:
    added = [v for v in new if v not in old] if wanted.settings else []
    gone = [v for v in old if v not in new] if wanted.deletions else []
    patch: Obj = {}
    if added:
        patch[key] = added
    if gone:
        patch[_DELETE + key] = gone
    if new and (gone or (wanted.settings and old != new)):
        patch[_ORDER + key] = new
    return patch


def _combined(deletions: Obj, settings: Obj, schema: Schema) -> Obj:
    """Both halves as one patch."""
    patch = dict(deletions)
    for key, value in settings.items():
        mine, field = patch.get(key), schemas.property_of(schema, key)
        if isinstance(mine, dict) and isinstance(value, dict):
            patch[key] = _combined(mine, value, schemas.resolve(field))
        elif isinstance(mine, list) and isinstance(value, list) and not key.startswith("$"):
            patch[key] = _combined_lists(mine, value, field or {}, settings.get(_ORDER + key, value))
        else:
            patch[key] = value
    return patch


def _combined_lists(deletions: list[Any], settings: list[Any], field: Schema, order: list[Any]) -> list[Any]:
    by = schemas.list_merge(field).key
    if by is None or not settings or _PATCH in settings[0]:
        return settings or deletions
    item, merged = schemas.items_of(field), list(deletions)
    for element in settings:
        index = next((i for i, e in enumerate(merged) if e.get(by) == element[by]), None)
        if index is None:
            merged.append(element)
        else:
            merged[index] = _combined(merged[index], element, item)
    return in_order(merged, order, deletions, by)
