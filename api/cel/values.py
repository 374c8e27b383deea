"""The values CEL computes with, beside Python's own bool, int, float, str, bytes, None, list and dict.

Integers are 64-bit: arithmetic that leaves the range is an error. Equality never fails and compares numbers
across types; lists that a schema calls sets or maps compare without regard to order. Source: the CEL
specification (langdef.md) and k8s.io/apiserver/pkg/cel/common.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from typing import Any


class EvaluationError(Exception):
    """An expression that has no value: `no such key: x`, `division by zero`."""


class CostExceeded(Exception):
    """An expression that did more work than it may. Nothing inside the expression can absorb this."""


class Uint(int):
    """An unsigned integer; a plain int is a signed one."""

    def __repr__(self) -> str:
        return f"{int(self)}u"


@dataclass(frozen=True, slots=True)
class TypeValue:
    """What `type(x)` gives: a type as a value."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A value that may be missing."""

    value: Any = None
    present: bool = True


NONE = Optional(present=False)


@dataclass(frozen=True, slots=True)
@total_ordering
class _Nanos:
    nanos: int

    def __lt__(self, other: Any) -> bool:
        return bool(self.nanos < other.nanos)


class Duration(_Nanos):
    """A span of time in nanoseconds."""


class Timestamp(_Nanos):
    """Nanoseconds since 1970 in UTC."""

    def moment(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.nanos // 1000)


class SetList(list[Any]):
    """A list without duplicates, whose order does not matter for equality."""


class Struct(dict[str, Any]):
    """An object that an expression spells out; cel_type is the name it goes by."""

    cel_type = ""


class MapList(list[Any]):
    """A list of objects told apart by some of their fields."""

    keys: Sequence[str] = ()

    def key_of(self, item: Any) -> tuple[Any, ...]:
        return tuple(item.get(k) if isinstance(item, dict) else None for k in self.keys)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT_MIN, _INT_MAX, _UINT_MAX = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1
_DURATION_MAX = _INT_MAX
_TIME_MIN, _TIME_MAX = -62135596800 * 10**9, 253402300799 * 10**9 + 999999999
_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_DURATION = re.compile(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns))+|0)")
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)")
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def to_int(value: int) -> int:
    if _INT_MIN <= value <= _INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def to_uint(value: int) -> Uint:
    if 0 <= value <= _UINT_MAX:
        return Uint(value)
    raise EvaluationError("unsigned integer overflow")


def truncated(value: float, kind: Callable[[int], Any]) -> Any:
    if math.isnan(value) or math.isinf(value):
        raise EvaluationError("integer overflow")
    return kind(-1 if kind is to_uint and value < 0 else int(value))


def to_duration(nanos: int) -> Duration:
    if abs(nanos) > _DURATION_MAX:
        raise EvaluationError("duration overflow")
    return Duration(nanos)


def to_timestamp(nanos: int) -> Timestamp:
    if _TIME_MIN <= nanos <= _TIME_MAX:
        return Timestamp(nanos)
    raise EvaluationError("timestamp overflow")


def parse_duration(text: str) -> Duration:
    """Go's notation: `1h30m`, `-1.5s`, `100ms`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise EvaluationError(f'time: invalid duration "{text}"')
    nanos = 0
    for number, unit in _DURATION_PART.findall(match[2]):
        whole, _, fraction = number.partition(".")
        nanos += int(whole or 0) * _UNITS[unit]
        nanos += int(fraction) * _UNITS[unit] // 10 ** len(fraction) if fraction else 0
    return to_duration(-nanos if match[1] == "-" else nanos)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339, to the nanosecond."""
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        moment = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    except ValueError:
        raise EvaluationError(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse') from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return to_timestamp(seconds * 10**9 + int((match[2] or "0").ljust(9, "0")))


def show_double(value: float) -> str:
    """The shortest digits that give the value back, as Go's %g prints them."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if "e" not in text:
        return text.removesuffix(".0")
    mantissa, exponent = text.split("e")
    return f"{mantissa.removesuffix('.0')}e{exponent}"


def show_duration(value: Duration) -> str:
    whole, rest = divmod(abs(value.nanos), 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{'-' if value.nanos < 0 else ''}{whole}{fraction}s"


def show_timestamp(value: Timestamp) -> str:
    rest = value.nanos % 10**9
    return value.moment().strftime("%Y-%m-%dT%H:%M:%S").zfill(19) + (f".{rest:09d}".rstrip("0") if rest else "") + "Z"


_NAMES: dict[type, str] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes", type(None): "null_type",
    list: "list", SetList: "list", MapList: "list", dict: "map", TypeValue: "type", Optional: "optional_type",
    Duration: "google.protobuf.Duration", Timestamp: "google.protobuf.Timestamp",
}  # fmt: skip


def type_name(value: Any) -> str:
    """The name of a value's type; library types say theirs in `cel_type`."""
    return _NAMES.get(type(value)) or str(value.cel_type)


_SIMPLE = (str, float, bytes, int, Uint)


def equal(one: Any, other: Any) -> bool:
    kind, other_kind = type(one), type(other)
    if kind is other_kind and kind in _SIMPLE:
        return bool(one == other)
    if isinstance(one, list) and isinstance(other, list):
        return _lists_equal(one, other)
    if kind is dict and other_kind is dict:
        return len(one) == len(other) and all(k in other and equal(v, other[k]) for k, v in one.items())
    if kind is Optional and other_kind is Optional:
        return one.present == other.present and equal(one.value, other.value)
    if kind is bool or other_kind is bool:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    return kind is other_kind and bool(one == other)


def _lists_equal(one: list[Any], other: list[Any]) -> bool:
    if len(one) != len(other):
        return False
    if isinstance(one, SetList):
        return all(contains(other, item) for item in one)
    if isinstance(one, MapList):
        by_key = {repr(one.key_of(item)): item for item in other}
        return all(equal(item, by_key.get(repr(one.key_of(item)))) for item in one)
    return all(equal(a, b) for a, b in zip(one, other, strict=True))


def contains(items: list[Any], wanted: Any) -> bool:
    return any(equal(item, wanted) for item in items)


def joined(one: list[Any], other: list[Any]) -> list[Any]:
    """`+` of lists: sets unite, maps merge by key with the right side winning, others concatenate."""
    if isinstance(one, SetList):
        return SetList([*one, *(item for item in other if not contains(one, item))])
    if isinstance(one, MapList):
        merged = {repr(one.key_of(item)): item for item in one}
        merged |= {repr(one.key_of(item)): item for item in other}
        result = MapList(merged.values())
        result.keys = one.keys
        return result
    return [*one, *other]
