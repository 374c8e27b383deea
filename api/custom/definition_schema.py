"""The rules for the schema of a custom kind: what may not stand in it, how its parts fit, and its defaults.

Messages are those of k8s.io/apiextensions-apiserver (apis/apiextensions/validation, apiserver/schema/defaulting).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from api.cel.where import has_rules
from api.custom.embedded import embedded_metadata
from api.custom.pruning import EMBEDDED, META_FIELDS, PRESERVE, prune
from api.custom.schema import Schema
from api.custom.structural import branches, structural_errors
from api.custom.validator import NEW, compile, same
from api.errors import forbidden_field, invalid, not_supported, required
from api.validation import Errors

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_FORBIDDEN = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
# What may stand at the root beside a status subresource, whose own part is checked alone: as upstream's Go names them.
_AT_ROOT = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum",
    "MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items",
    "Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations",
)  # fmt: skip
_LIST_TYPE, _MAP_TYPE, _KEYS = "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"


def schema_errors(schema: Schema, at: str, *, status: bool) -> Errors:
    errors: Errors = []
    if status:
        errors += _root_beside_status(schema, at)
    if schema.get("nullable"):
        errors.append(forbidden_field(f"{at}.nullable", "nullable cannot be true at the root"))
    if any(key in schema for key in ("$ref", "definitions")):
        return errors + _parts(schema, at, _Place(root=True))
    structure = structural_errors(schema, at) or _defaults({**schema, EMBEDDED: True}, at, inside_meta=False)
    errors += structure + _parts(schema, at, _Place(root=True))
    if errors or not has_rules(schema):
        return errors
    from api.cel.check import check_rules  # noqa: PLC0415  # CEL is loaded by those alone that have rules to read

    return check_rules(schema, at)


def _root_beside_status(schema: Schema, at: str) -> Errors:
    if schema.get("type", "object") != "object":
        why = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        return [invalid(f"{at}.type", schema["type"], why)]
    for key in schema:
        name = key.replace("x-kubernetes-", "x-")
        go = "".join(part[:1].upper() + part[1:] for part in name.split("-"))
        if go not in _AT_ROOT:
            allowed = "[" + " ".join(_AT_ROOT) + "]"
            why = f"only {allowed} fields are allowed at the root of the schema if the status subresource is enabled"
            return [invalid(at, schema, why)]
    return []


# --- what may not stand there, and what fits together ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a schema we are: what is allowed depends on it."""

    root: bool = False
    in_meta: bool = False
    no_defaults: str = ""


def _parts(schema: Schema, at: str, place: _Place) -> Errors:
    errors = _plain(schema, at, place)
    properties, extra, items = schema.get("properties") or {}, schema.get("additionalProperties"), schema.get("items")
    inner = replace(place, root=False)
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{at}.uniqueItems", why))
    if extra is not None and properties and extra is not True:
        why = "additionalProperties and properties are mutual exclusive"
        errors.append(forbidden_field(f"{at}.additionalProperties", why))
    if isinstance(extra, dict):
        reason = "inside additionalProperties applying to object metadata" if place.in_meta else place.no_defaults
        errors += _parts(extra, f"{at}.additionalProperties", replace(inner, no_defaults=reason))
    for name, child in properties.items():
        child_place = inner
        if (place.root or schema.get(EMBEDDED)) and name in META_FIELDS:
            reason = f"in top-level {name}" if place.root else inner.no_defaults
            child_place = replace(inner, in_meta=True, no_defaults=reason)
        errors += _parts(child, f"{at}.properties[{name}]", child_place)
    for branch, path in branches(schema, at):
        errors += _parts(branch, path, inner)
    if isinstance(items, dict):
        errors += _parts(items, f"{at}.items", inner)
    return errors + _list_and_map(schema, at)


def _plain(schema: Schema, at: str, place: _Place) -> Errors:
    errors: Errors = []
    kind = schema.get("type") or ""
    if kind and kind not in _TYPES:
        errors.append(not_supported(f"{at}.type", kind, _TYPES))
    if schema.get("default") is not None and place.no_defaults:
        errors.append(forbidden_field(f"{at}.default", f"must not be set {place.no_defaults}"))
    errors += [forbidden_field(f"{at}.{key}", f"{key} is not supported") for key in _FORBIDDEN if schema.get(key)]
    if kind == "null":
        why = "type cannot be set to null, use nullable as an alternative"
        errors.append(forbidden_field(f"{at}.type", why))
    if isinstance(schema.get("items"), list):
        errors.append(forbidden_field(f"{at}.items", "items must be a schema object and not an array"))
    if place.in_meta and schema.get(EMBEDDED):
        errors.append(forbidden_field(f"{at}.{EMBEDDED}", "must not be used inside of resource meta"))
    if schema.get(PRESERVE) is False:
        errors.append(invalid(f"{at}.{PRESERVE}", False, "must be true or undefined"))
    return errors


def _list_and_map(schema: Schema, at: str) -> Errors:
    errors: Errors = []
    kind, list_type, map_type = schema.get("type") or "", schema.get(_LIST_TYPE), schema.get(_MAP_TYPE)
    keys, items = schema.get(_KEYS) or [], schema.get("items")
    for value, wanted, key in ((map_type, "object", _MAP_TYPE), (list_type, "array", _LIST_TYPE)):
        if value is not None and kind != wanted:
            why = f"must be {wanted} if {key} is specified"
            errors.append(invalid(f"{at}.type", kind, why) if kind else required(f"{at}.type", why))
    if map_type is not None and map_type not in ("atomic", "granular"):
        errors.append(not_supported(f"{at}.{_MAP_TYPE}", map_type, ("atomic", "granular")))
    if list_type is not None and list_type not in ("atomic", "set", "map"):
        errors.append(not_supported(f"{at}.{_LIST_TYPE}", list_type, ("atomic", "set", "map")))
    if list_type == "set" and kind == "array" and isinstance(items, dict):
        why = f"must be atomic as item of a list with {_LIST_TYPE}=set"
        if items.get("type") == "array" and items.get(_LIST_TYPE, "atomic") != "atomic":
            errors.append(invalid(f"{at}.items.{_LIST_TYPE}", items[_LIST_TYPE], why))
        if items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
            errors.append(invalid(f"{at}.items.{_MAP_TYPE}", items.get(_MAP_TYPE), why))
    if keys and list_type != "map":
        why = f"must be map if {_KEYS} is non-empty"
        field = f"{at}.{_LIST_TYPE}"
        errors.append(invalid(field, list_type, why) if list_type else required(field, why))
    if list_type == "map":
        errors += _keyed_list(keys, items, at)
    if list_type in ("set", "map") and isinstance(items, dict) and items.get("nullable"):
        errors.append(forbidden_field(f"{at}.items.nullable", f"cannot be nullable when {_LIST_TYPE} is {list_type}"))
    return errors


def _keyed_list(keys: list[str], items: Any, at: str) -> Errors:
    errors = [] if keys else [required(f"{at}.{_KEYS}", f"must not be empty if {_LIST_TYPE} is map")]
    if not isinstance(items, dict):
        return [*errors, required(f"{at}.items", f"must have a schema if {_LIST_TYPE} is map")]
    kind, properties = items.get("type") or "", items.get("properties") or {}
    if kind != "object":
        why = f"must be object if parent array's {_LIST_TYPE} is map"
        return [*errors, invalid(f"{at}.items.type", kind, why)]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            errors.append(invalid(f"{at}.{_KEYS}", keys, "must not contain duplicate entries"))
        field, child = f"{at}.items.properties[{key}]", properties.get(key)
        if child is None:
            errors.append(invalid(f"{at}.{_KEYS}", keys, "entries must all be names of item properties"))
            continue
        if child.get("type") in ("array", "object"):
            why = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            errors.append(invalid(f"{field}.type", kind, why))
        if key not in (items.get("required") or []) and child.get("default") is None:
            why = f"this property is in {_KEYS}, so it must have a default or be a required property"
            errors.append(required(f"{field}.default", why))
        if child.get("nullable"):
            why = f"this property is in {_KEYS}, so it cannot be nullable"
            errors.append(forbidden_field(f"{field}.nullable", why))
    return errors


# --- defaults ----------------------------------------------------------------------------------------------


def _defaults(schema: Schema, at: str, *, inside_meta: bool) -> Errors:
    """Every default is itself what the schema asks for, and has no field that it does not know."""
    errors: Errors = []
    if schema.get(EMBEDDED):
        inside_meta = False
    default = schema.get("default")
    if default is not None:
        field = f"{at}.default"
        if not inside_meta:
            pruned = copy.deepcopy(default)
            prune(pruned, schema, root=False)
            if not same(pruned, default):
                errors.append(invalid(field, default, "must not have unknown fields"))
        errors += embedded_metadata(default, schema, field) if not inside_meta else []
        errors += compile(schema)(default, NEW, field)[0]
    if isinstance(schema.get("items"), dict):
        errors += _defaults(schema["items"], f"{at}.items", inside_meta=inside_meta)
    for name, child in (schema.get("properties") or {}).items():
        meta = inside_meta or (bool(schema.get(EMBEDDED)) and name in META_FIELDS)
        errors += _defaults(child, f"{at}.properties[{name}]", inside_meta=meta)
    return errors
