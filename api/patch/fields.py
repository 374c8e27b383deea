"""Sets of fields, in the form in which managedFields writes them (FieldsV1), and arithmetic on them.

A set is a dict from path elements to nodes: `f:name` a field, `k:{"name":"a"}` an item of a list by its keys,
`v:"a"` a member of a set. A node is such a dict again. The path to a node is in the set when the node is empty or
holds `.`; otherwise only paths below it are. Nodes are shared between sets and never changed in place.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

Fields = dict[str, Any]

LEAF: Fields = {}
"""A path that is in the set, with nothing below it."""

_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_SPECIAL = re.compile("[" + "".join(_HTML) + "]")


def is_member(node: Fields) -> bool:
    return not node or "." in node


def as_member(node: Fields) -> Fields:
    """`node` with its own path in the set."""
    return node if is_member(node) else {".": LEAF, **node}


def below(node: Fields) -> Fields:
    """What is under a node, without the node itself."""
    return {k: v for k, v in node.items() if k != "."} if "." in node else node


def union(a: Fields, b: Fields) -> Fields:
    if not a or not b:
        return a or b
    result = dict(a)
    for element, theirs in b.items():
        mine = result.get(element)
        if mine is None or mine is theirs:
            result[element] = theirs
        elif mine and theirs:
            result[element] = union(mine, theirs)
        else:
            result[element] = as_member(mine or theirs)
    return result


def difference(a: Fields, b: Fields) -> Fields:
    """What is in `a` and not in `b`."""
    result = {}
    for element, mine in a.items():
        theirs = b.get(element)
        if theirs is None:
            result[element] = mine
        elif element != "." and (left := _without(mine, theirs)) is not None:
            result[element] = left
    return result


def _without(mine: Fields, theirs: Fields) -> Fields | None:
    if not mine:
        return None if is_member(theirs) else mine
    return _tidy(difference(mine, theirs or {".": LEAF}))


def intersection(a: Fields, b: Fields) -> Fields:
    result = {}
    for element, mine in a.items():
        theirs = b.get(element)
        if theirs is None:
            continue
        if mine and theirs:
            both = _tidy(intersection(mine, theirs))
        else:
            both = LEAF if is_member(mine) and is_member(theirs) else None
        if both is not None or element == ".":
            result[element] = both or LEAF
    return result


def prune(a: Fields, b: Fields) -> Fields:
    """What is in `a`, and neither in `b` nor below anything in `b`."""
    result = {}
    for element, mine in a.items():
        theirs = b.get(element)
        if theirs is None or element == ".":
            result[element] = mine
        elif not is_member(theirs):
            left = _tidy(prune(mine, theirs)) if mine else mine
            if left is not None:
                result[element] = left
    return result


def _tidy(node: Fields) -> Fields | None:
    """A node that is empty now stands for nothing; one that holds but itself is a leaf."""
    if not node:
        return None
    return LEAF if len(node) == 1 and "." in node else node


def has(fields: Fields, path: tuple[str, ...]) -> bool:
    node = fields
    for element in path:
        if element not in node:
            return False
        node = node[element]
    return is_member(node)


def paths(fields: Fields) -> Iterator[tuple[str, ...]]:
    """Every path in the set, sorted; at each level first what is in the set itself, then what lies below."""
    elements = sorted((e for e in fields if e != "."), key=_order)
    for element in elements:
        if is_member(fields[element]):
            yield (element,)
    for element in elements:
        for path in paths(fields[element]):
            yield (element, *path)


def in_order(fields: Fields) -> Fields:
    """The same set as upstream writes it: by kind of element, then by its value, at every level."""
    elements = list(fields)
    if len(elements) > 1:
        elements.sort(key=_order if any(e[0] in "kv" for e in elements) else None)
    return {element: in_order(inner) if (inner := fields[element]) else LEAF for element in elements}


@lru_cache(maxsize=4096)  # elements of lists, most of them in every object: ports, containers, conditions by name
def _order(element: str) -> tuple[int, Any]:
    kind, rest = element[:1], element[2:]
    if kind in ".f":
        return 0, rest
    value = orjson.loads(rest)
    if kind == "k":
        return 1, [(name, _comparable(value[name])) for name in sorted(value)]
    return 2, _comparable(value)


def _comparable(value: Any) -> tuple[int, Any]:
    if isinstance(value, bool):
        return 2, value
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def shown(path: tuple[str, ...]) -> str:
    """`.spec.containers[name="a"].image`, as messages print it."""
    return "".join(map(_shown, path))


def _shown(element: str) -> str:
    kind, rest = element[:1], element[2:]
    if kind == "f":
        return "." + rest
    value = orjson.loads(rest)
    if kind == "k":
        return "[" + ",".join(f"{name}={_json(value[name])}" for name in sorted(value)) + "]"
    return f"[={_json(value)}]"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _escaped(value: Any) -> str:
    """JSON as Go writes it."""
    text = _json(value)
    return _SPECIAL.sub(lambda found: _HTML[found[0]], text) if _SPECIAL.search(text) else text


def key_element(key: dict[str, Any]) -> str:
    """`k:{…}`; the names come sorted."""
    return "k:" + _escaped(key)


def value_element(value: Any) -> str:
    return "v:" + _escaped(value)


def decode(fields: Any) -> Fields:
    """A set that a client sent, in canonical form; elements of a kind that we do not know are left out. ValueError."""
    if not isinstance(fields, dict):
        raise ValueError("FieldsV1 is not an object")
    result: Fields = {}
    for element, node in fields.items():
        if element == ".":
            result["."] = LEAF
            continue
        if len(element) < 2 or element[1] != ":":
            raise ValueError(f"{element!r} is not a path element")
        kind, rest = element[0], element[2:]
        if kind == "k":
            key = orjson.loads(rest)
            if not isinstance(key, dict):
                raise ValueError(f"{element!r} is not a key")
            element = key_element(dict(sorted(key.items())))
        elif kind == "v":
            element = value_element(orjson.loads(rest))
        elif kind != "f":
            continue
        result[element] = decode(node)
    return result
