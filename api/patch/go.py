"""How Go prints decoded JSON, where upstream's messages show a value that way."""

from __future__ import annotations

import re
from typing import Any

_MISTYPED = re.compile(r"json: cannot unmarshal (\w+)(?: \S+)? into Go struct field \S+ of type (\S+)")
_OF_ITSELF = frozenset(("IntOrString", "MicroTime", "Quantity", "Time"))  # types that read their JSON themselves
_KINDS = {"number": "int64", "array": "slice", "object": "map"}


def plain(value: Any) -> str:
    """%v: `map[spec:map[replicas:x]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{plain(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(plain(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def type_of(value: Any) -> str:
    """%T."""
    names = {dict: "map[string]interface {}", list: "[]interface {}", bool: "bool", int: "int64", float: "float64"}
    return names.get(type(value), "string")


def source(value: Any) -> str:
    """%#v, of scalars."""
    return '"' + value.replace('"', '\\"') + '"' if isinstance(value, str) else plain(value)


def unrestorable(why: str) -> str:
    """What the JSON decoder says of a field of the wrong type, as upstream's converter of unstructured objects
    (which strategic merge patches go through) says it."""
    found = _MISTYPED.match(why)
    if found is None or found[2].rpartition(".")[2] in _OF_ITSELF:
        return why
    kind, wanted = _KINDS.get(found[1], found[1]), found[2]
    if wanted.startswith("map["):
        return f"cannot restore map from {kind}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {kind}"
    if "." in wanted:
        return f"cannot restore struct from: {kind}"
    return (
        f"cannot convert {kind} to {wanted}"
        if (kind, wanted) == ("int64", "string")
        else f"unrecognized type: {wanted}"
    )
