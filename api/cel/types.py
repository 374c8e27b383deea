"""The types of CEL expressions: what the checker reasons with.

A `Type` is a name with parameters (`list(string)`, `map(string, int)`); an object type has fields as well. The
limit of a type is the most elements, characters or entries a value can have: it decides what a rule may cost at
worst, and takes no part in equality. Source: the CEL specification (langdef.md, "Types") and, for limits,
k8s.io/apiserver/pkg/cel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

UNBOUNDED = 3 * 1024 * 1024
"""The most of anything that fits into one request (3 MiB)."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object type. `key` is its name in the JSON object, `convert` makes the JSON value CEL's."""

    type: Type
    key: str
    convert: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class Type:
    name: str
    params: tuple[Type, ...] = ()
    fields: Mapping[str, Field] | None = None
    limit: int = field(default=UNBOUNDED, compare=False)

    def __str__(self) -> str:
        if self.name in _SHOWN:
            return _SHOWN[self.name]
        return f"{self.name}({', '.join(map(str, self.params))})" if self.params else self.name

    def __hash__(self) -> int:
        return hash((self.name, self.params))

    @property
    def is_dyn(self) -> bool:
        return self.name in ("dyn", "_")

    @property
    def is_var(self) -> bool:
        return len(self.name) == 1 and self.name.isupper()

    @property
    def has_nulls(self) -> bool:
        """Whether a member that is null is there: in an object it is absent."""
        return self.fields is None or self.name == VARIABLES


VARIABLES = "kubernetes.variables"
"""The object type whose fields are the variables of a policy, null ones too."""
_SHOWN = {"null_type": "null", "_": "dyn", "google.protobuf.Duration": "duration",
          "google.protobuf.Timestamp": "timestamp", "optional_type": "optional_type"}  # fmt: skip

DYN, UNKNOWN = Type("dyn"), Type("_")
"""UNKNOWN is the element type of `[]` and `{}`: it becomes whatever it meets."""
NULL, BOOL, INT, UINT, DOUBLE = (Type(n) for n in ("null_type", "bool", "int", "uint", "double"))
STRING, BYTES, TYPE = Type("string"), Type("bytes"), Type("type")
DURATION, TIMESTAMP = Type("google.protobuf.Duration"), Type("google.protobuf.Timestamp")

PRIMITIVES = {t.name: t for t in (DYN, NULL, BOOL, INT, UINT, DOUBLE, STRING, BYTES, TYPE, DURATION, TIMESTAMP)}
_ALIASES = {"duration": DURATION, "timestamp": TIMESTAMP}
_NULLABLE = {"google.protobuf.Duration", "google.protobuf.Timestamp"}


def list_of(item: Type, limit: int = UNBOUNDED) -> Type:
    return Type("list", (item,), limit=limit)


def map_of(key: Type, value: Type, limit: int = UNBOUNDED) -> Type:
    return Type("map", (key, value), limit=limit)


def optional_of(item: Type) -> Type:
    return Type("optional_type", (item,), limit=item.limit)


def object_of(name: str, fields: Mapping[str, Field]) -> Type:
    return Type(name, fields=fields)


def unify(want: Type, have: Type, bound: dict[str, Type]) -> bool:
    """Whether `have` may stand where `want` is asked for; type variables of `want` are bound on the way."""
    if want.is_var:
        known = bound.get(want.name)
        if known is None or (known.is_dyn and not have.is_dyn and known.name == "_"):
            bound[want.name] = have
            return True
        if have.name == "_" or unify(known, have, bound):
            if known.name != "dyn" and not have.is_dyn:
                bound[want.name] = _wider(known, have)
            elif have.name == "dyn":
                bound[want.name] = DYN
            return True
        return unify(have, known, bound)
    if want.is_dyn or have.is_dyn:
        return True
    if have.name == "null_type" and want.name != "null_type":
        return want.fields is not None or want.name in _NULLABLE or "." in want.name
    if want.name != have.name or len(want.params) != len(have.params):
        return False
    if want.fields is not None and want.fields is not have.fields and want.fields != have.fields:
        return False
    return all(unify(w, h, bound) for w, h in zip(want.params, have.params, strict=True))


def _wider(one: Type, other: Type) -> Type:
    """The one of two compatible types that knows more of its parameters, with the larger limit."""
    if one.name == "null_type":
        return other
    params = tuple(
        (b if a.name == "_" else a if b.name == "_" else DYN if b.is_dyn else _wider(a, b))
        for a, b in zip(one.params, other.params, strict=False)
    )
    return replace(one, params=params, limit=max(one.limit, other.limit))


def substitute(type_: Type, bound: Mapping[str, Type]) -> Type:
    if type_.is_var:
        return bound.get(type_.name, UNKNOWN)
    if not type_.params:
        return type_
    return replace(type_, params=tuple(substitute(p, bound) for p in type_.params))


_TOKEN = re.compile(r"[A-Za-z_][\w.]*|[(),]")


@lru_cache(maxsize=256)
def parse(text: str) -> Type:
    """`map(string, A)` as tables of functions write it."""
    return _parse(iter(_TOKEN.findall(text)))[0]


@lru_cache(maxsize=256)
def parse_all(text: str) -> tuple[Type, ...]:
    return parse(f"all({text})").params if text.strip() else ()


def _parse(tokens: Iterator[str]) -> tuple[Type, str]:
    name = next(tokens)
    following = next(tokens, "")
    params: list[Type] = []
    if following == "(":
        while following in ("(", ","):
            param, following = _parse(tokens)
            params.append(param)
        following = next(tokens, "")
    name = {"optional": "optional_type"}.get(name, name)
    if not params:
        return _ALIASES.get(name) or PRIMITIVES.get(name) or Type(name), following
    return Type(name, tuple(params)), following
