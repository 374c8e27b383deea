"""Comparing, merging and taking apart values by their types: the arithmetic under managedFields (pure).

The rules are those of sigs.k8s.io/structured-merge-diff. Values are left as they are; results share parts with them.
"""

from __future__ import annotations

from typing import Any

from api.patch import fields
from api.patch.fields import LEAF, Fields
from api.patch.typed import DEDUCED, Type


def whole(type_: Type, value: Any) -> Fields:
    """The node of a value that was not there before: itself and all that is in it."""
    if value.__class__ is dict:
        if type_.atomic or not value:
            return LEAF
        known, element = type_.known, type_.element or DEDUCED
        node: Fields = {".": LEAF}
        for key, held in value.items():
            named = known.get(key)
            name, child = named if named is not None else ("f:" + key, element)
            node[name] = whole(child, held) if held.__class__ in _CONTAINERS else LEAF
        return node
    if value.__class__ is list and type_.associative and value:
        items = type_.items or DEDUCED
        node = {".": LEAF}
        for item in value:
            name = type_.name_of(item)
            node[name] = LEAF if name in node else whole(items, item)
        return node
    return LEAF


_CONTAINERS = frozenset((dict, list))


def compare(type_: Type, old: dict[str, Any], new: dict[str, Any]) -> tuple[Fields, Fields]:
    """(what `new` has that `old` lacks or has otherwise, what it lacks)."""
    changed: Fields = {}
    removed: Fields = {}
    _compare_maps(type_, old, new, changed, removed)
    return changed, removed


def _compare_maps(type_: Type, old: dict[str, Any], new: dict[str, Any], changed: Fields, removed: Fields) -> None:
    for key, value in new.items():
        if key in old:
            before = old[key]
            if before is not value and before != value:
                name, child = type_.child(key)
                _compare(child, name, before, value, changed, removed)
        else:
            name, child = type_.child(key)
            changed[name] = whole(child, value)
    for key, value in old.items():
        if key not in new:
            name, child = type_.child(key)
            removed[name] = whole(child, value)


def _compare(type_: Type, name: str, old: Any, new: Any, changed: Fields, removed: Fields) -> None:
    """Two values that differ."""
    kind = (old if new is None else new).__class__
    if kind is dict and (old is None or new is None or old.__class__ is dict):
        if type_.atomic:
            changed[name] = LEAF
            return
        more: Fields = {}
        less: Fields = {}
        _compare_maps(type_, old or {}, new or {}, more, less)
    elif kind is list and (old is None or new is None or old.__class__ is list):
        if not type_.associative:
            changed[name] = LEAF
            return
        more, less = {}, {}
        _compare_lists(type_, old or [], new or [], more, less)
    else:
        changed[name] = whole(type_, new)
        less = fields.below(whole(type_, old))
        more = {}
    if more:
        changed[name] = more
    if less:
        removed[name] = less


def _compare_lists(type_: Type, old: list[Any], new: list[Any], changed: Fields, removed: Fields) -> None:
    """Items go by name; items that share one are seen as a whole."""
    items = type_.items or DEDUCED
    before, after = by_name(type_, old), by_name(type_, new)
    for name in before | after:
        had, have = before.get(name, []), after.get(name, [])
        if len(had) > 1 and len(have) > 1:
            if had != have:
                changed[name] = LEAF
        elif len(had) == 1 and len(have) == 1:
            if had[0] != have[0]:
                _compare(items, name, had[0], have[0], changed, removed)
        else:
            for found, side in ((had, removed), (have, changed)):
                if found:
                    side[name] = LEAF if len(found) > 1 else whole(items, found[0])


def by_name(type_: Type, values: list[Any]) -> dict[str, list[Any]]:
    result: dict[str, list[Any]] = {}
    for value in values:
        result.setdefault(type_.name_of(value), []).append(value)
    return result


def members(type_: Type, value: dict[str, Any]) -> Fields:
    """All leaves and items that `value` mentions: what applying it owns."""
    return fields.below(_members(type_, value) or LEAF)


def _members(type_: Type, value: Any) -> Fields | None:
    """None when nothing in it can be owned (an empty list whose items have names)."""
    if isinstance(value, dict):
        if type_.atomic:
            return LEAF
        node: Fields = {}
        for key, held in value.items():
            name, child = type_.child(key)
            inner = _members(child, held)
            if held is None or held == {} or key not in type_.known:
                inner = fields.as_member(inner or LEAF)
            if inner is not None:
                node[name] = inner
        return node or None
    if isinstance(value, list) and type_.associative:
        items = type_.items or DEDUCED
        return {
            name: fields.as_member((_members(items, found[0]) or LEAF) if len(found) == 1 else LEAF)
            for name, found in by_name(type_, value).items()
        } or None
    return LEAF


def merge(type_: Type, live: Any, config: Any) -> Any:
    """`live` with everything that `config` says."""
    if isinstance(live, dict) and isinstance(config, dict) and not type_.atomic:
        result = dict(live)
        for key, value in config.items():
            result[key] = merge(type_.child(key)[1], live[key], value) if key in live else value
        return result
    if isinstance(live, list) and isinstance(config, list) and type_.associative and (live or config):
        return _merge_lists(type_, live, config)
    return config


def _merge_lists(type_: Type, live: list[Any], config: list[Any]) -> list[Any]:
    """In the order of `config`; items that only `live` has stay behind the one that they followed."""
    items = type_.items or DEDUCED
    theirs = {type_.name_of(item): item for item in config}
    names = [type_.name_of(item) for item in live]
    mine = by_name(type_, live)
    shared = [name for name in theirs if name in mine]
    result: list[Any] = []
    merged: set[str] = set()
    pending = list(theirs)
    at = 0

    def take(name: str) -> None:
        merged.add(name)
        had = mine.get(name, [])
        result.append(merge(items, had[0], theirs[name]) if len(had) == 1 else theirs[name])

    while at < len(names) or pending:
        if at < len(names):
            name = names[at]
            if pending and name == pending[0]:
                take(pending.pop(0))
                at += 1
                shared = shared[1:]
                continue
            if pending and name in theirs and shared and shared[0] != name:
                at += 1  # it comes later, where `config` has it
                continue
            if name not in theirs:
                result.append(live[at])
                at += 1
                continue
            if name in merged:
                at += 1
        if pending:
            name = pending.pop(0)
            take(name)
            if shared and shared[0] == name:
                shared = shared[1:]
    return result


def remove(type_: Type, value: Any, gone: Fields) -> Any:
    """`value` without the fields and items in `gone`; None when nothing is left of it."""
    if isinstance(value, dict):
        if type_.atomic:
            return None
        result = {}
        for key, held in value.items():
            name, child = type_.child(key)
            node = gone.get(name)
            if node is None:
                result[key] = held
            elif not fields.is_member(node):
                result[key] = remove(child, held, node)
        return result or None
    if isinstance(value, list):
        if not type_.associative:
            return None
        items, kept = type_.items or DEDUCED, []
        for item in value:
            node = gone.get(type_.name_of(item))
            if node is None:
                kept.append(item)
            elif not fields.is_member(node):
                kept.append(remove(items, item, node))
        return kept or None
    return value


def with_structs(type_: Type, owned: Fields) -> Fields:
    """`owned` and the named fields on the way to it, which are not owned for themselves."""
    result: Fields = {}
    for element, node in owned.items():
        if element == ".":
            result["."] = LEAF
            continue
        key = element[2:]
        child = DEDUCED
        named = False
        if element[0] == "f" and type_.is_map:
            named = key in type_.known
            child = type_.child(key)[1]
        elif element[0] == "k" and type_.items is not None:
            child = type_.items
        inner = with_structs(child, node) if node else node
        result[element] = fields.as_member(inner) if named else inner
    return result


def reconcile(type_: Type, owned: Fields) -> Fields:
    """`owned` where a list or map has become atomic since it was written: owned as a whole, or as before."""
    result: Fields = {}
    for element, node in owned.items():
        child = DEDUCED
        if element[0] == "f" and type_.is_map:
            child = type_.child(element[2:])[1]
        elif element[0] == "k" and type_.items is not None:
            child = type_.items
        if node and element != "." and child is not DEDUCED:
            node = (
                LEAF if child.atomic or (child.items is not None and not child.associative) else reconcile(child, node)
            )
        result[element] = node
    return result
