"""Tables of CEL functions, and the standard ones: operators, conversions, sizes, dates.

A row is `(name, parameters, result, implementation)` or has a fifth column, the work the function does for
arguments of given sizes. A name that begins with a dot is called on its first parameter. Source: the CEL
specification, langdef.md, "List of Standard Definitions".
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from api.cel import values as v
from api.cel.types import Type, parse, parse_all
from api.cel.values import Duration, EvaluationError, Optional, Timestamp, Uint

Work = Callable[..., float]


@dataclass(frozen=True, slots=True)
class Overload:
    params: tuple[Type, ...]
    result: Type
    member: bool
    run: Callable[..., Any]
    work: Work | None = None


TABLE: dict[str, list[Overload]] = {}


def define(rows: Iterable[tuple[Any, ...]]) -> None:
    for name, params, result, run, *work in rows:
        row = Overload(parse_all(params), parse(result), name[:1] == ".", run, work[0] if work else None)
        TABLE.setdefault(name.removeprefix("."), []).append(row)


def scan(size: float, *_: float) -> float:
    """Reading through the first argument: a tenth of a unit for each character."""
    return math.ceil(size * 0.1)


def each(size: float, *_: float) -> float:
    return size


def cross(one: float, other: float, *_: float) -> float:
    return one * other


def within(text: float, wanted: float, *_: float) -> float:
    """Looking for a text in a text."""
    return scan(text) * scan(wanted)


def search(text: float, pattern: float, *_: float) -> float:
    return math.ceil(text * 0.1) * math.ceil(pattern * 0.25)


def both(one: float, other: float, *_: float) -> float:
    return math.ceil((one + other) * 0.1)


def _divide(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("division by zero")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _modulo(a: int, b: int) -> int:
    if b == 0:
        raise EvaluationError("modulus by zero")
    return a - b * _divide(a, b)


def _divide_doubles(a: float, b: float) -> float:
    if b:
        return a / b
    return math.nan if a == 0 or math.isnan(a) else math.copysign(math.inf, a) * math.copysign(1, b)


def _number(text: str, kind: str) -> Any:
    plain = text.removeprefix("-").removeprefix("+") if kind == "int" else text
    if not (plain.isascii() and plain.isdigit()):
        raise EvaluationError(f'strconv.Parse{kind.capitalize()}: parsing "{text}": invalid syntax')
    return v.to_int(int(text)) if kind == "int" else v.to_uint(int(text))


def _double(text: str) -> float:
    try:
        if "_" in text or text != text.strip():
            raise ValueError(text)
        return float(text)
    except ValueError:
        raise EvaluationError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


def _bool(text: str) -> bool:
    if text in ("true", "True", "TRUE", "t", "T", "1"):
        return True
    if text in ("false", "False", "FALSE", "f", "F", "0"):
        return False
    raise EvaluationError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _local(at: Timestamp, zone: str = "UTC") -> datetime:
    moment = at.moment()
    try:
        if zone[:1] in "+-" or zone[:1].isdigit():
            hours, minutes = zone.split(":")
            offset = timedelta(hours=abs(int(hours)), minutes=int(minutes))
            return moment.astimezone(timezone(-offset if zone[0] == "-" else offset))
        return moment.astimezone(ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError):
        raise EvaluationError(f"unknown time zone {zone}") from None


_DATE_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda t: t.year,
    "getMonth": lambda t: t.month - 1,
    "getDate": lambda t: t.day,
    "getDayOfMonth": lambda t: t.day - 1,
    "getDayOfWeek": lambda t: t.isoweekday() % 7,
    "getDayOfYear": lambda t: t.timetuple().tm_yday - 1,
    "getHours": lambda t: t.hour,
    "getMinutes": lambda t: t.minute,
    "getSeconds": lambda t: t.second,
    "getMilliseconds": lambda t: t.microsecond // 1000,
}
_SPAN_PARTS = {"getHours": 3600 * 10**9, "getMinutes": 60 * 10**9, "getSeconds": 10**9, "getMilliseconds": 10**6}


def _date_rows() -> Iterable[tuple[Any, ...]]:
    for name, part in _DATE_PARTS.items():
        yield f".{name}", "timestamp", "int", lambda t, part=part: part(_local(t))
        yield f".{name}", "timestamp, string", "int", lambda t, zone, part=part: part(_local(t, zone))
    for name, unit in _SPAN_PARTS.items():
        yield f".{name}", "duration", "int", lambda d, unit=unit: _divide(d.nanos, unit)


def _order_rows() -> Iterable[tuple[Any, ...]]:
    numbers = ("int", "uint", "double")
    pairs = [(a, b) for a in numbers for b in numbers]
    pairs += [(t, t) for t in ("bool", "string", "bytes", "timestamp", "duration")]
    for name, run in (("_<_", operator.lt), ("_<=_", operator.le), ("_>_", operator.gt), ("_>=_", operator.ge)):
        for a, b in pairs:
            work = (lambda x, y: math.ceil(min(x, y) * 0.1)) if a in ("string", "bytes") else None
            yield name, f"{a}, {b}", "bool", run, work


def _same(value: Any) -> Any:
    return value


define(_order_rows())
define(_date_rows())
define([
    ("_+_", "int, int", "int", lambda a, b: v.to_int(a + b)),
    ("_+_", "uint, uint", "uint", lambda a, b: v.to_uint(a + b)),
    ("_+_", "double, double", "double", operator.add),
    ("_+_", "string, string", "string", operator.add, both),
    ("_+_", "bytes, bytes", "bytes", operator.add, both),
    ("_+_", "list(A), list(A)", "list(A)", v.joined),
    ("_+_", "duration, duration", "duration", lambda a, b: v.to_duration(a.nanos + b.nanos)),
    ("_+_", "timestamp, duration", "timestamp", lambda a, b: v.to_timestamp(a.nanos + b.nanos)),
    ("_+_", "duration, timestamp", "timestamp", lambda a, b: v.to_timestamp(a.nanos + b.nanos)),
    ("_-_", "int, int", "int", lambda a, b: v.to_int(a - b)),
    ("_-_", "uint, uint", "uint", lambda a, b: v.to_uint(a - b)),
    ("_-_", "double, double", "double", operator.sub),
    ("_-_", "duration, duration", "duration", lambda a, b: v.to_duration(a.nanos - b.nanos)),
    ("_-_", "timestamp, duration", "timestamp", lambda a, b: v.to_timestamp(a.nanos - b.nanos)),
    ("_-_", "timestamp, timestamp", "duration", lambda a, b: v.to_duration(a.nanos - b.nanos)),
    ("_*_", "int, int", "int", lambda a, b: v.to_int(a * b)),
    ("_*_", "uint, uint", "uint", lambda a, b: v.to_uint(a * b)),
    ("_*_", "double, double", "double", operator.mul),
    ("_/_", "int, int", "int", lambda a, b: v.to_int(_divide(a, b))),
    ("_/_", "uint, uint", "uint", lambda a, b: Uint(_divide(a, b))),
    ("_/_", "double, double", "double", _divide_doubles),
    ("_%_", "int, int", "int", _modulo),
    ("_%_", "uint, uint", "uint", lambda a, b: Uint(_modulo(a, b))),
    ("-_", "int", "int", lambda a: v.to_int(-a)),
    ("-_", "double", "double", operator.neg),
    ("!_", "bool", "bool", operator.not_),
    ("@in", "A, list(A)", "bool", lambda item, items: v.contains(items, item), lambda _, size: size),
    ("@in", "A, map(A, B)", "bool", lambda key, entries: not isinstance(key, list | dict) and key in entries),
    ("int", "int", "int", _same),
    ("int", "uint", "int", lambda a: v.to_int(int(a))),
    ("int", "double", "int", lambda a: v.truncated(a, v.to_int)),
    ("int", "string", "int", lambda a: _number(a, "int")),
    ("int", "timestamp", "int", lambda a: a.nanos // 10**9),
    ("uint", "uint", "uint", _same),
    ("uint", "int", "uint", v.to_uint),
    ("uint", "double", "uint", lambda a: v.truncated(a, v.to_uint)),
    ("uint", "string", "uint", lambda a: _number(a, "uint")),
    ("double", "double", "double", _same),
    ("double", "int", "double", float),
    ("double", "uint", "double", float),
    ("double", "string", "double", _double),
    ("string", "string", "string", _same),
    ("string", "bool", "string", lambda a: "true" if a else "false"),
    ("string", "int", "string", str),
    ("string", "uint", "string", lambda a: str(int(a))),
    ("string", "double", "string", v.show_double),
    ("string", "bytes", "string", _decoded, scan),
    ("string", "timestamp", "string", v.show_timestamp),
    ("string", "duration", "string", v.show_duration),
    ("bytes", "bytes", "bytes", _same),
    ("bytes", "string", "bytes", str.encode, scan),
    ("bool", "bool", "bool", _same),
    ("bool", "string", "bool", _bool),
    ("duration", "duration", "duration", _same),
    ("duration", "string", "duration", v.parse_duration),
    ("duration", "int", "duration", v.to_duration),
    ("timestamp", "timestamp", "timestamp", _same),
    ("timestamp", "string", "timestamp", v.parse_timestamp),
    ("timestamp", "int", "timestamp", lambda a: v.to_timestamp(a * 10**9)),
    ("type", "A", "type", lambda a: v.TypeValue(v.type_name(a))),
    ("dyn", "A", "dyn", _same),
    *((name, kind, "int", len) for name in ("size", ".size") for kind in ("string", "bytes", "list(A)", "map(A, B)")),
    (".startsWith", "string, string", "bool", str.startswith, lambda _, size: scan(size)),
    (".endsWith", "string, string", "bool", str.endswith, lambda _, size: scan(size)),
    (".contains", "string, string", "bool", operator.contains, within),
    ("optional.of", "A", "optional(A)", Optional),
    ("optional.ofNonZeroValue", "A", "optional(A)", lambda a: v.NONE if _zero(a) else Optional(a)),
    ("optional.none", "", "optional(A)", lambda: v.NONE),
    (".hasValue", "optional(A)", "bool", lambda a: a.present),
    (".value", "optional(A)", "A", lambda a: _value(a)),
    (".or", "optional(A), optional(A)", "optional(A)", lambda a, b: a if a.present else b),
    (".orValue", "optional(A), A", "A", lambda a, b: a.value if a.present else b),
])  # fmt: skip


def _zero(value: Any) -> bool:
    return value.nanos == 0 if isinstance(value, Duration) else not value


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value
