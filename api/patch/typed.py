"""The types of an object's fields as merging sees them, compiled once from a schema.

A list is atomic unless its schema calls it a set or a map with keys; a map or struct is granular unless its schema
calls it atomic. Where the schema says nothing, types follow the value: maps granular, lists atomic.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from api import schemas
from api.custom.schema import CustomSchema
from api.patch import fields, go
from api.registry import Resource
from api.schemas import Schema

NUMERIC, STRING, BOOLEAN, UNTYPED = "numeric", "string", "boolean", "untyped"
_SCALARS = {"integer": NUMERIC, "number": NUMERIC, "string": STRING, "boolean": BOOLEAN}
_KEY_DEFAULTS = {"protocol": "TCP"}  # the one key of an upstream list that may be left out

# Structs that an object holds in place, so that they are there in one that was just made. Those of other types
# are pointers, absent until set.
_EMBEDDED = frozenset({
    "ObjectMeta", "PodSpec", "PodTemplateSpec", "JobTemplateSpec", "JobSpec", "DeploymentStrategy",
    "StatefulSetUpdateStrategy", "DaemonSetUpdateStrategy", "LoadBalancerStatus", "IngressLoadBalancerStatus",
    "NodeSystemInfo", "NodeDaemonEndpoints", "DaemonEndpoint", "VolumeResourceRequirements", "EventSource",
    "CustomResourceDefinitionNames",
})  # fmt: skip
_POINTERS = frozenset({("ReplicationControllerSpec", "template")})
_ZEROS: dict[str, Any] = {NUMERIC: 0, STRING: "", BOOLEAN: False}


class Untypable(ValueError):
    """A value that does not fit its type so badly that its parts have no names."""


class Type:
    """What a value may be. Several of `scalar`, `items` and `is_map` together where the schema leaves it open."""

    __slots__ = ("associative", "atomic", "element", "is_map", "items", "keys", "known", "scalar")

    def __init__(self) -> None:
        self.scalar = ""
        self.items: Type | None = None
        self.associative = False  # a list whose items have names: their keys, or themselves in a set
        self.keys: tuple[tuple[str, Any], ...] = ()  # (name, default) of each key, sorted
        self.is_map = False
        self.atomic = False  # a map that is set as a whole
        self.known: dict[str, tuple[str, Type]] = {}  # field → (its path element, its type)
        self.element: Type | None = None  # of fields that are not known; None: there are none

    def child(self, key: str) -> tuple[str, Type]:
        return self.known.get(key) or ("f:" + key, self.element or DEDUCED)

    def name_of(self, item: Any) -> str:
        """The path element of an item of an associative list. Untypable."""
        if not self.keys:
            if item is None or isinstance(item, dict | list):
                what = "a map" if isinstance(item, dict) else "a list" if item is not None else "an explicit null"
                raise Untypable(f"associative list without keys has an element that's {what}")
            return fields.value_element(item)
        if not isinstance(item, dict):
            raise Untypable("associative list with keys may not have non-map elements")
        key = {}
        for name, default in self.keys:
            value = item.get(name, default)
            if value is None:
                raise Untypable(
                    f'associative list with keys has an element that omits key field "{name}" '
                    "(and doesn't have default value)"
                )
            key[name] = value
        return fields.key_element(key)


def _deduced() -> Type:
    deduced = Type()
    deduced.scalar, deduced.is_map, deduced.element, deduced.items = UNTYPED, True, deduced, deduced
    return deduced


DEDUCED = _deduced()
_DEFINED: dict[str, Type] = {}


def of(resource: Resource) -> Type:
    """The type of a kind's objects; deduced where no schema is known."""
    name = schemas.definition_name(resource)
    if name in schemas.definitions():
        return _defined(name)
    return _custom(resource.custom) if resource.custom is not None else DEDUCED


@lru_cache(maxsize=512)
def _custom(custom: CustomSchema) -> Type:
    made = _inline(custom.schema or {"type": "object"}, custom.preserves_unknown)
    _fill_head(made)
    return made


def _fill_head(made: Type) -> None:
    """What every object has, whether its schema says so or not."""
    text = {"type": "string"}
    for name, schema in (("apiVersion", text), ("kind", text), ("metadata", _METADATA)):
        made.known[name] = "f:" + name, _inline(schema, preserve=False)


_METADATA = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def _defined(name: str) -> Type:
    found = _DEFINED.get(name)
    if found is None:
        found = _DEFINED[name] = Type()  # before it is filled in: definitions may refer to themselves
        _fill(found, schemas.definitions()[name], preserve=False)
    return found


def _inline(schema: Schema, preserve: bool) -> Type:
    reference = schema.get("$ref") or next((s.get("$ref") for s in schema.get("allOf", ())), None)
    if reference:
        named = _defined(reference.rpartition("/")[2])
        if schema.get("x-kubernetes-map-type", "") != "atomic" or named.atomic:
            return named
        return _atomic(named)
    made = Type()
    _fill(made, schema, preserve)
    return made


def _atomic(named: Type) -> Type:
    made = Type()
    for slot in Type.__slots__:
        setattr(made, slot, getattr(named, slot))
    made.atomic = True
    return made


def _plain(schema: Schema) -> str:
    """The one type that a schema allows beside null; "" when it allows several or any."""
    kinds = schema.get("type", "")
    if isinstance(kinds, list):
        kinds = next((k for k in kinds if k != "null"), "")
    return str(kinds)


def _fill(made: Type, schema: Schema, preserve: bool) -> None:
    preserve = preserve or bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    kind = _plain(schema)
    if kind in _SCALARS:
        made.scalar = UNTYPED if schema.get("format") == "int-or-string" else _SCALARS[kind]
    elif kind == "array":
        _fill_list(made, schema, preserve)
    elif kind == "object" or schema.get("properties"):
        _fill_map(made, schema, preserve)
    elif schema.get("oneOf") or schema.get("x-kubernetes-int-or-string"):
        made.scalar = UNTYPED  # a quantity, an int or string
    else:
        made.scalar, made.is_map, made.element, made.items = UNTYPED, True, DEDUCED, DEDUCED


def _fill_list(made: Type, schema: Schema, preserve: bool) -> None:
    made.items = _inline(schema.get("items") or {}, preserve)
    kind = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    if kind is None and "merge" in schemas.list_merge(schema).strategies:
        key = schemas.list_merge(schema).key
        kind, keys = ("map", (key,)) if key else ("set", ())
    made.associative = kind in ("set", "map")
    if kind == "map":
        item = schema.get("items") or {}
        absent = _KEY_DEFAULTS if "$ref" in item else {}
        properties = item.get("properties") or {}
        made.keys = tuple((n, (properties.get(n) or {}).get("default", absent.get(n))) for n in sorted(keys))


def _fill_map(made: Type, schema: Schema, preserve: bool) -> None:
    made.is_map = True
    made.atomic = schema.get("x-kubernetes-map-type") == "atomic"
    properties: Mapping[str, Schema] = schema.get("properties") or {}
    for name, member in properties.items():
        made.known[name] = "f:" + name, _inline(member, preserve)
    if schema.get("x-kubernetes-embedded-resource"):
        _fill_head(made)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        made.element = _inline(extra, preserve)
    elif extra is True or preserve or (extra is None and not properties):
        made.element = DEDUCED


# --- what an object is before anything is set ---------------------------------------------------------------


@lru_cache(maxsize=256)
def _zero(name: str) -> dict[str, Any]:
    return _struct(name, root=True)


def zero(resource: Resource) -> dict[str, Any]:
    """An object of the kind in which nothing has been set: what a creation is compared with."""
    name = schemas.definition_name(resource)
    return _zero(name) if name in schemas.definitions() else {"apiVersion": "", "kind": ""}


def _struct(name: str, *, root: bool = False) -> dict[str, Any]:
    """The parts that are there all the same: structs held in place, and what is written even when it is empty."""
    schema = schemas.definitions()[name]
    required = frozenset(schema.get("required") or ())
    short = name.rpartition(".")[2]
    result: dict[str, Any] = {}
    for field, member in (schema.get("properties") or {}).items():
        reference = member.get("$ref", "").rpartition("/")[2]
        target = schemas.definitions().get(reference) or member
        if target.get("properties"):
            held = reference.rpartition(".")[2] in _EMBEDDED and (short, field) not in _POINTERS
            if held or field in required or (root and field in ("spec", "status")):
                result[field] = {} if target.get("x-kubernetes-map-type") == "atomic" else _struct(reference)
        elif field in required:
            result[field] = _ZEROS.get(_SCALARS.get(_plain(target), ""))
    return result


# --- does a value fit ------------------------------------------------------------------------------------


def misfits(type_: Type, value: Any, *, duplicates: bool = False) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) of everything that does not fit, in the words of structured-merge-diff."""
    if value is None:
        return
    if isinstance(value, dict) and type_.is_map:
        yield from _misfit_fields(type_, value, duplicates)
    elif isinstance(value, list) and type_.items is not None:
        yield from _misfit_items(type_, type_.items, value, duplicates)
    elif isinstance(value, dict | list) or not _fits(type_.scalar, value):
        yield "", _unfit(type_, value)


def _misfit_fields(type_: Type, value: dict[str, Any], duplicates: bool) -> Iterator[tuple[str, str]]:
    for key, held in value.items():
        if key not in type_.known and type_.element is None:
            yield f".{key}", "field not declared in schema"
            continue
        for path, why in misfits(type_.child(key)[1], held, duplicates=duplicates):
            yield f".{key}{path}", why


def _misfit_items(type_: Type, items: Type, value: list[Any], duplicates: bool) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for index, item in enumerate(value):
        shown = f"[{index}]"
        if type_.associative:
            try:
                name = type_.name_of(item)
            except Untypable as error:
                yield "", f"element {index}: {error}"
                return
            shown = fields.shown((name,))
            if name in seen and not duplicates:
                yield "", f"duplicate entries for key {shown}"
            seen.add(name)
        for path, why in misfits(items, item, duplicates=duplicates):
            yield f"{shown}{path}", why


def _fits(scalar: str, value: Any) -> bool:
    if isinstance(value, bool):
        return scalar in (BOOLEAN, UNTYPED)
    if isinstance(value, int | float):
        return scalar in (NUMERIC, UNTYPED)
    return scalar in (STRING, UNTYPED)


def _unfit(type_: Type, value: Any) -> str:
    held = f"&{{{go.plain(value)}}}"
    if type_.is_map:
        return f"expected map, got {held}"
    match type_.scalar:
        case "numeric":
            return f"expected numeric (int or float), got {go.type_of(value)}"
        case "string":
            return f"expected string, got &value.valueUnstructured{{Value:{go.source(value)}}}"
        case "boolean":
            return f"expected boolean, got {held}"
        case "untyped":
            return f"expected any scalar, got {held}"
    return f"expected list, got {held}"
