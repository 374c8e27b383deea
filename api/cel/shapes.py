"""What a structural schema is to CEL: its type, and how its JSON values become CEL's.

Source: k8s.io/apiserver/pkg/cel/common/schemas.go and the table of types in
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from api.cel import values as v
from api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UNBOUNDED,
    Field,
    Type,
    list_of,
    map_of,
    object_of,
)

Schema = Mapping[str, Any]
Convert = Callable[[Any], Any]

_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_ACCESSIBLE = re.compile(r"[a-zA-Z_./-][a-zA-Z0-9_./-]*")
_KEYWORDS = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return")
)  # fmt: skip
_NAMED: Schema = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
_KEY = replace(STRING, limit=0)


@dataclass(frozen=True, slots=True)
class Shape:
    type: Type
    convert: Convert | None
    """None when JSON's value is CEL's."""
    least: int
    """The fewest bytes such a value takes in JSON."""


def escape(name: str) -> str | None:
    """How an expression writes a property; None when it cannot."""
    if not _ACCESSIBLE.fullmatch(name):
        return None
    if name in _KEYWORDS:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda match: dict(_ESCAPES)[match[0]], name)


def with_metadata(schema: Schema) -> Schema:
    """The root of a resource: what every resource has is visible though its schema need not say so."""
    properties = schema.get("properties") or {}
    extra = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _NAMED}
    return {**schema, "type": "object", "properties": {**properties, **extra}}


def shape_of(schema: Schema | None, *, root: bool = False) -> Shape | None:
    """None for what expressions cannot see: unknown types."""
    if schema is None:
        return None
    if schema.get("x-kubernetes-int-or-string"):
        return Shape(replace(DYN, limit=_longest(schema)), None, 1)
    if root:
        schema = with_metadata(schema)
    kind = schema.get("type")
    if kind == "array":
        return _list(schema)
    if kind == "object":
        extra = schema.get("additionalProperties")
        return _map(schema, extra) if isinstance(extra, Mapping) else _object(schema)
    if kind == "string":
        return _text(schema)
    simple = {"boolean": (BOOL, None, 4), "number": (DOUBLE, float, 1), "integer": (INT, int, 1)}.get(str(kind))
    return Shape(*simple) if simple else None


def _child(schema: Schema) -> Shape | None:
    return shape_of(schema, root=bool(schema.get("x-kubernetes-embedded-resource")))


def _list(schema: Schema) -> Shape | None:
    item = _child(schema["items"]) if isinstance(schema.get("items"), Mapping) else None
    if item is None:
        return None
    limit = _limit(schema, "maxItems", (UNBOUNDED - 2) // (item.least + 1))
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    convert = None if item.convert is None else _each(item.convert)
    if kind == "set":
        convert = _then(convert, v.SetList)
    elif kind == "map":
        convert = _then(convert, _keyed(keys))
    return Shape(list_of(item.type, limit), convert, 2)


def _map(schema: Schema, extra: Schema) -> Shape | None:
    value = _child(extra)
    if value is None:
        return None
    limit = _limit(schema, "maxProperties", (UNBOUNDED - 2) // (value.least + 6))
    convert, inner = None, value.convert
    if inner is not None:

        def convert(entries: dict[str, Any]) -> dict[str, Any]:
            return {k: None if item is None else inner(item) for k, item in entries.items()}

    return Shape(map_of(_KEY, value.type, limit), convert, 2)


def _object(schema: Schema) -> Shape:
    fields: dict[str, Field] = {}
    required = schema.get("required") or ()
    least = 2
    for name, child in (schema.get("properties") or {}).items():
        shape = _child(child)
        if shape is None:
            continue
        escaped = escape(name)
        if escaped is not None:
            fields[escaped] = Field(shape.type, name, shape.convert)
        if name in required and child.get("default") is None:
            least += len(name) + shape.least + 4
    return Shape(object_of("object", fields), None, least)


def _text(schema: Schema) -> Shape:
    match schema.get("format"):
        case "byte":
            return Shape(replace(BYTES, limit=_limit(schema, "maxLength", UNBOUNDED - 2)), _decoded, 2)
        case "duration":
            return Shape(replace(DURATION, limit=32), v.parse_duration, 4)
        case "date":
            return Shape(replace(TIMESTAMP, limit=12), _date, 12)
        case "date-time":
            return Shape(replace(TIMESTAMP, limit=35), v.parse_timestamp, 22)
    return Shape(replace(STRING, limit=_longest(schema)), None, 2)


def _longest(schema: Schema) -> int:
    """In bytes; a character takes up to four."""
    if schema.get("maxLength") is not None:
        return _limit(schema, "maxLength", 0) * 4
    allowed = [len(choice) for choice in schema.get("enum") or () if isinstance(choice, str)]
    return max(allowed) if allowed else UNBOUNDED - 2


def _limit(schema: Schema, name: str, otherwise: int) -> int:
    given = schema.get(name)
    return otherwise if given is None else max(int(given), 0)


def _each(convert: Convert) -> Convert:
    return lambda items: [None if item is None else convert(item) for item in items]


def _then(first: Convert | None, second: Convert) -> Convert:
    return second if first is None else lambda value: second(first(value))


def _keyed(keys: Sequence[str]) -> Convert:
    def convert(items: list[Any]) -> v.MapList:
        made = v.MapList(items)
        made.keys = keys
        return made

    return convert


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise v.EvaluationError("byte string encountered error on base64 decoding") from None


def _date(text: str) -> v.Timestamp:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise v.EvaluationError(f"failed to parse date: {text}") from None
    return v.to_timestamp(int(day.timestamp()) * 10**9)
