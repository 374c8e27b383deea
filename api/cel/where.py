"""Where a schema has rules, and where a rule's fieldPath (`.spec.replicas`, `.labels['a.b']`) points.

Light: who has no rules need not load CEL. Source: the rules of ValidFieldPath in
k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

RULES = "x-kubernetes-validations"

_STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<quoted>'(?:[^'\\]|\\.)*')\]|(?P<other>.+)", re.S)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def has_rules(schema: Mapping[str, Any]) -> bool:
    """Here or anywhere below."""
    return bool(schema.get(RULES)) or any(map(has_rules, _children(schema)))


def _children(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (schema.get("properties") or {}).values()
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            yield schema[name]


def field_path(text: str, schema: Mapping[str, Any]) -> str:
    """The path as errors print it, below the rule's place. ValueError says what is wrong."""
    path = ""
    for match in _STEP.finditer(text.strip()):
        if match["other"] is not None:
            if match["other"].startswith("["):
                raise ValueError(f"expected single quoted string but got {match['other'][1:].partition(']')[0]}")
            raise ValueError(f"expected [ or . but got: {match['other']}")
        name = match["name"] or _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), match["quoted"][1:-1])
        properties, extra = schema.get("properties"), schema.get("additionalProperties")
        if properties:
            if name not in properties:
                raise ValueError("does not refer to a valid field")
            schema, path = properties[name], f"{path}.{name}" if path else name
        elif isinstance(extra, Mapping):
            schema, path = extra, f"{path}[{name}]"
        else:
            raise ValueError("does not refer to a valid field")
    return path
