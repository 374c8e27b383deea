"""Strings, lists, sets, regular expressions and URLs: the functions Kubernetes adds to CEL.

Source: https://kubernetes.io/docs/reference/using-api/cel/, k8s.io/apiserver/pkg/cel/library (lists, regex, urls)
and github.com/google/cel-go/ext (strings version 2, sets).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from api import regex as re2
from api.cel import values as v
from api.cel.functions import cross, define, each, scan, search, within
from api.cel.values import Duration, EvaluationError

_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_SPACE = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def regex(pattern: str) -> Any:
    try:
        return re2.compile(pattern)
    except ValueError as error:
        raise EvaluationError(f"error parsing regexp: {error}") from None


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in regex(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _find(text: str, pattern: str) -> str:
    match = regex(pattern).search(text)
    return match[0] if match else ""


# Strings


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise EvaluationError(f"index out of range: {index}")
    return text[index : index + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    if not 0 <= end <= len(text):
        raise EvaluationError(f"index out of range: {end}")
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _index_of(text: str, wanted: str, start: int = 0) -> int:
    if wanted and not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.find(wanted, start) if wanted else start


def _last_index_of(text: str, wanted: str, start: int | None = None) -> int:
    start = len(text) if start is None else start
    if wanted and not 0 <= start <= len(text):
        raise EvaluationError(f"index out of range: {start}")
    return text.rfind(wanted, 0, start + len(wanted)) if wanted else start


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if limit == 1:
        return [text]
    if separator == "":
        parts = list(text)
        return parts if limit < 0 or limit >= len(parts) else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, max(limit, -1))


def _quoted(text: str) -> str:
    escaped = {"\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
               "\t": "\\t", "\v": "\\v"}  # fmt: skip
    return '"' + "".join(escaped.get(c, c) for c in text) + '"'


_CLAUSE = re.compile(r"%(?:%|(?:\.(\d+))?([sdfebxXo])|)")


def _format(template: str, arguments: list[Any]) -> str:
    left = iter(arguments)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if not match[2]:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{match[0]}"')
        try:
            value = next(left)
        except StopIteration:
            raise EvaluationError(f"index {len(arguments)} out of range") from None
        return _clause(match[2], int(match[1] or 6), value)

    return _CLAUSE.sub(one, template)


def _clause(kind: str, precision: int, value: Any) -> str:
    if kind == "s":
        return shown(value)
    number = isinstance(value, int) and not isinstance(value, bool)
    if kind in "fe" and (number or isinstance(value, float)):
        return format(float(value), f".{precision}{kind}")
    if kind == "d" and (number or isinstance(value, float)):
        return str(int(value)) if number else v.show_double(value)
    if kind in "bo" and (number or (kind == "b" and isinstance(value, bool))):
        return format(int(value), kind)
    if kind in "xX":
        if number:
            return format(int(value), kind)
        if isinstance(value, str | bytes):
            digits = (value.encode() if isinstance(value, str) else value).hex()
            return digits if kind == "x" else digits.upper()
    raise EvaluationError(
        f"error during formatting: clause %{kind} cannot be used on a value of type {v.type_name(value)}"
    )


def shown(value: Any) -> str:
    """A value as `%s` prints it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{shown(k)}: {shown(item)}" for k, item in value.items())) + "}"
    if isinstance(value, float):
        return v.show_double(value)
    if isinstance(value, Duration):
        return v.show_duration(value)
    if isinstance(value, v.Timestamp):
        return v.show_timestamp(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(int(value) if isinstance(value, int) else getattr(value, "name", value))


# Lists


def _pairs_sorted(items: list[Any]) -> bool:
    return all(not b < a for a, b in itertools.pairwise(items))


def _extreme(name: str, items: list[Any]) -> Any:
    if not items:
        raise EvaluationError(f"{name} called on empty list")
    return min(items) if name == "min" else max(items)


def _first(items: list[Any], wanted: Any) -> int:
    return next((i for i, item in enumerate(items) if v.equal(item, wanted)), -1)


def _last(items: list[Any], wanted: Any) -> int:
    return next((i for i in range(len(items) - 1, -1, -1) if v.equal(items[i], wanted)), -1)


def _list_rows() -> Iterable[tuple[Any, ...]]:
    for kind in ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"):
        yield ".isSorted", f"list({kind})", "bool", _pairs_sorted, each
        for name in ("min", "max"):
            yield f".{name}", f"list({kind})", kind, lambda items, name=name: _extreme(name, items), each
    yield ".sum", "list(int)", "int", lambda items: v.to_int(sum(items)), each
    yield ".sum", "list(uint)", "uint", lambda items: v.to_uint(sum(items)), each
    yield ".sum", "list(double)", "double", lambda items: float(sum(items)), each
    yield ".sum", "list(duration)", "duration", lambda items: v.to_duration(sum(i.nanos for i in items)), each
    yield ".indexOf", "list(A), A", "int", _first, each
    yield ".lastIndexOf", "list(A), A", "int", _last, each


# Sets


def _covers(one: list[Any], other: list[Any]) -> bool:
    return all(v.contains(one, item) for item in other)


# URLs


@dataclass(frozen=True, slots=True)
class Url:
    cel_type: ClassVar[str] = "kubernetes.URL"
    text: str
    parts: SplitResult

    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.parts.query, keep_blank_values=True)

    @property
    def host(self) -> str:
        return self.parts.netloc.rpartition("@")[2]

    @property
    def port(self) -> str:
        _, colon, port = self.host.rpartition("]")[2].rpartition(":")
        return port if colon else ""

    @property
    def hostname(self) -> str:
        host = self.host.removesuffix(f":{self.port}") if self.port else self.host.removesuffix(":")
        return host.removeprefix("[").removesuffix("]")


def parse_url(text: str) -> Url:
    """As Go's url.ParseRequestURI: an absolute URL or an absolute path."""
    why = f'parse "{text}": invalid URI for request'
    try:
        parts = urlsplit(text)
        port = parts.port
        if not (parts.scheme or text.startswith("/")) or (port is None and re.search(r":[^\]/]*\D", parts.netloc[-6:])):
            raise ValueError(why)
        if re.search(r"[\x00-\x1f\x7f]|%(?![0-9a-fA-F]{2})", text) or re.search(r"[\s<>\"]", parts.netloc):
            raise ValueError(why)
    except ValueError:
        raise EvaluationError(f"URL parse error during conversion from string: {why}") from None
    return Url(text, parts)


def converts(convert: Any, *arguments: Any) -> bool:
    """What `isURL`, `isQuantity` and their like answer."""
    try:
        convert(*arguments)
    except EvaluationError:
        return False
    return True


_URL = "kubernetes.URL"

define(_list_rows())
define([
    (".matches", "string, string", "bool", lambda a, b: regex(b).search(a) is not None, search),
    ("matches", "string, string", "bool", lambda a, b: regex(b).search(a) is not None, search),
    (".find", "string, string", "string", _find, search),
    (".findAll", "string, string", "list(string)", _find_all, search),
    (".findAll", "string, string, int", "list(string)", _find_all, search),
    (".charAt", "string, int", "string", _char_at),
    (".indexOf", "string, string", "int", _index_of, within),
    (".indexOf", "string, string, int", "int", _index_of, within),
    (".lastIndexOf", "string, string", "int", _last_index_of, within),
    (".lastIndexOf", "string, string, int", "int", _last_index_of, within),
    (".lowerAscii", "string", "string", lambda a: a.translate(_LOWER), scan),
    (".upperAscii", "string", "string", lambda a: a.translate(_UPPER), scan),
    (".replace", "string, string, string", "string", _replace, scan),
    (".replace", "string, string, string, int", "string", _replace, scan),
    (".split", "string, string", "list(string)", _split, scan),
    (".split", "string, string, int", "list(string)", _split, scan),
    (".substring", "string, int", "string", _substring, scan),
    (".substring", "string, int, int", "string", _substring, scan),
    (".trim", "string", "string", lambda a: a.strip(_SPACE), scan),
    (".join", "list(string)", "string", "".join, scan),
    (".join", "list(string), string", "string", lambda items, by: by.join(items), scan),
    (".format", "string, list(dyn)", "string", _format, scan),
    ("strings.quote", "string", "string", _quoted, scan),
    ("sets.contains", "list(A), list(A)", "bool", _covers, cross),
    ("sets.equivalent", "list(A), list(A)", "bool", lambda a, b: _covers(a, b) and _covers(b, a), cross),
    ("sets.intersects", "list(A), list(A)", "bool", lambda a, b: any(v.contains(b, i) for i in a), cross),
    ("url", "string", _URL, parse_url, scan),
    ("isURL", "string", "bool", lambda a: converts(parse_url, a), scan),
    (".getScheme", _URL, "string", lambda u: u.parts.scheme),
    (".getHost", _URL, "string", lambda u: u.host),
    (".getHostname", _URL, "string", lambda u: u.hostname),
    (".getPort", _URL, "string", lambda u: u.port),
    (".getEscapedPath", _URL, "string", lambda u: quote(u.parts.path, safe="/%:@!$&'()*+,;=~-._")),
    (".getQuery", _URL, "map(string, list(string))", Url.query),
])  # fmt: skip
