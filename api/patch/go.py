"""How Go prints decoded JSON, where upstream's messages show a value that way."""

from __future__ import annotations

from typing import Any


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
