"""kubectl's JSONPath dialect: a template of literal text and `{…}` actions, rendered over a JSON value.

    {.metadata.name}   {..image}   {.items[*].kind}   {.a['x\\.y']}   {.a.x\\.y}   {.list[-1:]}   {.list[0:4:2]}
    {['a','b']}   {.list[?(@.type=="Ready")].status}   {range .items[*]}{.x}{"\\n"}{end}   {"text"}   {3}   {true}

Semantics (what is an error, what is empty, how values print) follow k8s.io/client-go/util/jsonpath.
Pure: raises JSONPathError and nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from api.jsonpath_syntax import (
    Block,
    Field,
    Filter,
    JSONPathError,
    Literal,
    Node,
    Range,
    Recursive,
    Slice,
    Union,
    Wildcard,
    parse_template,
)

__all__ = ["JSONPathError", "Template", "relaxed", "shown"]


class Template:
    """A parsed template. `missing_ok` decides whether an absent field is empty or an error."""

    def __init__(self, text: str, *, missing_ok: bool = True) -> None:
        self._blocks = parse_template(text)
        self._missing_ok = missing_ok

    def find(self, data: Any) -> list[list[Any]]:
        """The values each action found, in template order."""
        return [values for block in self._blocks for values in self._evaluate(block, data, data)]

    def render(self, data: Any) -> str:
        return "".join(" ".join(shown(value) for value in values) for values in self.find(data))

    def _evaluate(self, block: Block, current: Any, root: Any) -> list[list[Any]]:
        if isinstance(block, Range):
            found: list[list[Any]] = []
            for value in self._walk(block.path, [current]):
                for inner in block.body:
                    found += self._evaluate(inner, value, root)
            return found
        return [self._walk(block, [current])]

    def _walk(self, path: tuple[Node, ...], values: list[Any]) -> list[Any]:
        for node in path:
            values = self._step(node, values)
        return values

    def _step(self, node: Node, values: list[Any]) -> list[Any]:
        match node:
            case Literal(value):
                return [value]
            case Field(name):
                return self._field(name, values)
            case Wildcard():
                return [child for value in values for child in _children(value)]
            case Recursive():
                return _descend(values)
            case Slice():
                return [item for value in values for item in self._slice(node, value)]
            case Filter():
                return [item for value in values for item in self._filter(node, value)]
            case Union(paths):
                return [found for path in paths for found in self._walk(path, values)]

    def _field(self, name: str, values: list[Any]) -> list[Any]:
        if not name:
            return values
        found = [value[name] for value in values if isinstance(value, dict) and name in value]
        if not found and not self._missing_ok:
            raise JSONPathError(f"{name} is not found")
        return found

    def _slice(self, node: Slice, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise JSONPathError(f"{shown(value)} is not array or slice")
        length = len(value)
        start = 0 if node.start is None else node.start
        if start < 0:
            start += length
        if node.single:
            stop = start + 1
        else:
            stop = length if node.stop is None else node.stop
            if stop < 0:
                stop += length
        if start == stop:
            return []
        if not 0 <= start < length:
            raise JSONPathError(f"array index out of bounds: index {start}, length {length}")
        if not 0 <= stop <= length:
            raise JSONPathError(f"array index out of bounds: index {stop - 1}, length {length}")
        if start > stop:
            raise JSONPathError(f"starting index {start} is greater than ending index {stop}")
        if node.step is not None and node.step <= 0:
            raise JSONPathError("step must be > 0")
        return value[start : stop : node.step or 1]

    def _filter(self, node: Filter, value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise JSONPathError(f"{shown(value)} is not array or slice and cannot be filtered")
        return [item for item in value if self._passes(node, item)]

    def _passes(self, node: Filter, item: Any) -> bool:
        lenient = self._missing_ok
        self._missing_ok = True
        try:
            left = self._walk(node.left, [item])
            right = self._walk(node.right, [item])
        finally:
            self._missing_ok = lenient
        if node.operator == "exists":
            return bool(left)
        if len(left) > 1 or len(right) > 1:
            raise JSONPathError("can only compare one element at a time")
        if not left or not right:
            return False
        return _compare(node.operator, left[0], right[0])


def relaxed(expression: str) -> str:
    """The template of a path written as `x.y`, `.x.y`, `{x.y}` or `{.x.y}` (custom columns, sort, wait)."""
    match = re.fullmatch(r"\{\.?([^{}]+)\}|\.?([^{}]+)", expression)
    if not expression:
        return ""
    if match is None:
        raise JSONPathError(
            "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'"
        )
    path = match[1] or match[2]
    return f"{{{'' if path.startswith('[') else '.'}{path}}}"


def shown(value: Any) -> str:
    """One found value as text: strings bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _descend(values: list[Any]) -> list[Any]:
    """Every container under `values`, a parent before its children."""
    found: list[Any] = []
    for value in values:
        children = _children(value)
        if children:
            found.append(value)
            found += _descend(children)
    return found


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "other"


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator not in _ORDER:
        raise JSONPathError(f"unrecognized filter operator {operator}")
    if _kind(left) != _kind(right) or _kind(left) == "other":
        raise JSONPathError("incompatible types for comparison")
    return _ORDER[operator](left, right)
