"""What expressions of MutatingAdmissionPolicies make: `Object{spec: Object.spec{replicas: 3}}`, `JSONPatch{op: …}`.

An `Object` has whatever fields it is given; the names of the objects inside it must be the path that leads to them.
Source: https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/ and
k8s.io/apiserver/pkg/cel/mutation.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from api.cel import values as v
from api.cel.functions import define, scan
from api.cel.types import DYN, STRING, Field, Type, list_of, object_of
from api.cel.values import EvaluationError, Struct

_ROOT = "Object"


class _AnyField(Mapping[str, Field]):
    """Every name is a field."""

    def __getitem__(self, name: str) -> Field:
        return Field(DYN, name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_ANY = _AnyField()
OBJECT = object_of(_ROOT, _ANY)
JSON_PATCH = object_of(
    "JSONPatch", {**{n: Field(STRING, n) for n in ("op", "path", "from")}, "value": Field(DYN, "value")}
)
JSON_PATCHES = list_of(JSON_PATCH)


class _Types(Mapping[str, Type]):
    """The types that can be spelled out, by name."""

    def __getitem__(self, name: str) -> Type:
        if name == JSON_PATCH.name:
            return JSON_PATCH
        if name == _ROOT or name.startswith(f"{_ROOT}."):
            return object_of(name, _ANY)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter((_ROOT, JSON_PATCH.name))

    def __len__(self) -> int:
        return 2


TYPES: Mapping[str, Type] = _Types()


def plain(value: Any) -> Any:
    """The value as JSON. EvaluationError for what JSON cannot hold and for an object that is not named by its path."""
    if isinstance(value, Struct):
        check_names(value, value.cel_type)
    return _plain(value)


def check_names(value: Any, path: str) -> None:
    """EvaluationError. Lists do not count: what is in them goes by the name of the list."""
    if isinstance(value, Struct) and value.cel_type != path:
        raise EvaluationError(
            f'type mismatch: unexpected type name "{value.cel_type}", expected "{path}", which matches field name path '
            "from root Object type"
        )
    if isinstance(value, dict):
        for name, held in value.items():
            check_names(held, f"{path}.{name}")
    elif isinstance(value, list):
        for item in value:
            check_names(item, path)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else _key(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, v.Timestamp):
        return v.show_timestamp(value)
    if isinstance(value, v.Duration):
        return v.show_duration(value)
    raise EvaluationError(f"a value of type '{v.type_name(value)}' has no JSON")


def _key(key: Any) -> str:
    return ("true" if key else "false") if isinstance(key, bool) else str(int(key))


define([
    ("jsonpatch.escapeKey", "string", "string", lambda key: key.replace("~", "~0").replace("/", "~1"), scan),
])  # fmt: skip
