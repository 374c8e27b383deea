"""Values without fields of their own in JSON: plain ones, and upstream's few messages that JSON writes as one value.

Every reader takes a value off the wire and raises Malformed (or another ValueError) when it is of another sort.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from api import meta
from api.protobuf import wire
from api.protobuf.wire import Malformed, Value
from api.schemas import Schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def octets(value: Value) -> bytes:
    if isinstance(value, int):
        raise Malformed("wrong wire type: a number instead of bytes")
    return value


def integer(value: Value) -> int:
    return wire.signed(_unsigned(value))


def number(value: Value) -> int | float:
    """A double: 64 fixed bits. Whole ones are JSON's integers."""
    found: float = struct.unpack("<d", _unsigned(value).to_bytes(8, "little"))[0]
    return int(found) if found.is_integer() else found


def _unsigned(value: Value) -> int:
    if isinstance(value, bytes):
        raise Malformed("wrong wire type: bytes instead of a number")
    return value


def boolean(value: Value) -> bool:
    return integer(value) != 0


def text(value: Value) -> str:
    return octets(value).decode("utf-8")


def encoded(value: Value) -> str:
    return base64.b64encode(octets(value)).decode("ascii")


def of_type(schema: Schema) -> Callable[[Value], Any]:
    """What reads a plain value of this schema."""
    types = schema.get("type", ())
    if "integer" in types:
        return integer
    if "number" in types:
        return number
    if "boolean" in types:
        return boolean
    return encoded if schema.get("format") == "byte" else text


def _parts(value: Value) -> dict[int, Value]:
    return dict(wire.fields(octets(value)))


def _quantity(value: Value) -> str:
    return text(_parts(value).get(1, b"")) or "0"


def _int_or_string(value: Value) -> int | str:
    parts = _parts(value)
    kind, number, string = parts.get(1, 0), parts.get(2, 0), parts.get(3, b"")
    return text(string) if integer(kind) else integer(number)


def _moment(value: Value) -> datetime | None:
    """None for Go's zero time, which is written as an empty message."""
    parts = _parts(value)
    if not parts:
        return None
    seconds, nanos = integer(parts.get(1, 0)), integer(parts.get(2, 0))
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _time(value: Value) -> str | None:
    moment = _moment(value)
    return meta.rfc3339(moment) if moment else None


def _micro_time(value: Value) -> str | None:
    moment = _moment(value)
    return meta.rfc3339_micro(moment) if moment else None


def _json(value: Value) -> Any:
    raw = octets(_parts(value).get(1, b""))
    return orjson.loads(raw) if raw else None


BY_NAME: Mapping[str, Callable[[Value], Any]] = {
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "Time": _time,
    "MicroTime": _micro_time,
    "RawExtension": _json,
    "FieldsV1": _json,
    "JSON": _json,
}
