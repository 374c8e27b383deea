"""Whether a schema is structural: every field typed outside of the logic that may judge its value.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
Messages are those of k8s.io/apiextensions-apiserver/pkg/apiserver/schema (validation.go, complete.go).
"""

from __future__ import annotations

from typing import Any

from api import regex
from api.custom.pruning import EMBEDDED, PRESERVE
from api.custom.schema import Schema
from api.custom.validator import INT_OR_STRING
from api.errors import forbidden_field, invalid, required
from api.validation import Errors

_INT_OR_STRING_ANY_OF = [{"type": "integer"}, {"type": "string"}]
_UNTYPED = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
# What only the structure itself may say, and how its absence is asked for where values are judged.
_STRUCTURE_ONLY = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    (PRESERVE, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (INT_OR_STRING, "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)


def structural_errors(schema: Schema, at: str) -> Errors:
    return sorted([*_invariants(schema, "root", at), *_completeness(schema, schema, at, at)], key=str)


def branches(schema: Schema, at: str) -> list[tuple[Schema, str]]:
    """The schemas that judge the same value, with their paths."""
    found = [
        (inner, f"{at}.{key}[{index}]")
        for key in ("anyOf", "allOf", "oneOf")
        for index, inner in enumerate(schema.get(key) or ())
    ]
    return [*found, (schema["not"], f"{at}.not")] if schema.get("not") is not None else found


def _invariants(schema: Schema, level: str, at: str) -> Errors:
    errors: Errors = []
    kind = schema.get("type") or ""
    properties: Schema = schema.get("properties") or {}
    items, extra = schema.get("items"), schema.get("additionalProperties")
    embedded, preserved = bool(schema.get(EMBEDDED)), bool(schema.get(PRESERVE))
    either = bool(schema.get(INT_OR_STRING))
    if kind == "array" and items is None:
        errors.append(required(f"{at}.items", "must be specified"))
    if isinstance(items, dict):
        errors += _invariants(items, "item", f"{at}.items")
    for name, child in properties.items():
        errors += _invariants(child, "field", f"{at}.properties[{name}]")
    if extra is not None and level == "root":
        errors.append(forbidden_field(f"{at}.additionalProperties", "must not be used at the root"))
    if isinstance(extra, dict):
        errors += _invariants(extra, "field", f"{at}.additionalProperties")
    for key, wrong in ((PRESERVE, preserved), (EMBEDDED, embedded)):
        if either and wrong:
            errors.append(invalid(f"{at}.{key}", True, f"must be false if {INT_OR_STRING} is true"))
    errors += _judging(schema, at)
    if embedded and kind != "object":
        detail = f"must be object if {EMBEDDED} is true"
        errors.append(invalid(f"{at}.type", kind, detail) if kind else required(f"{at}.type", detail))
    elif not kind and not either and not preserved:
        errors.append(required(f"{at}.type", _UNTYPED[level]))
    if embedded and extra is not None:
        errors.append(forbidden_field(f"{at}.additionalProperties", f"must not be used if {EMBEDDED} is set"))
    if level == "root" and kind and kind != "object":
        errors.append(invalid(f"{at}.type", kind, "must be object at the root"))
    errors += _of_metadata(properties, level, embedded, at)
    if embedded and not preserved and not properties:
        errors.append(
            required(f"{at}.properties", f"must not be empty if {EMBEDDED} is true without {PRESERVE}")
        )  # fmt: skip
    return errors


def _of_metadata(properties: Schema, level: str, embedded: bool, at: str) -> Errors:
    errors: Errors = []
    if level == "root" or embedded:
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                kind = properties[name].get("type") or ""
                errors.append(invalid(f"{at}.properties[{name}].type", kind, "must be string"))
    metadata = properties.get("metadata")
    if metadata is None:
        return errors
    field = f"{at}.properties[metadata]"
    if (level == "root" or embedded) and metadata.get("type") != "object":
        errors.append(invalid(f"{field}.type", metadata.get("type") or "", "must be object"))
    names = set(metadata.get("properties") or ())
    rest = {k for k in metadata if k not in ("type", "properties", "default", "required")}
    if level == "root" and (rest or not names <= {"name", "generateName"}):
        why = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        errors.append(forbidden_field(field, why))
    return errors


def _judging(schema: Schema, at: str) -> Errors:
    """The rules for what judges values: the branches of the schema and its pattern."""
    errors: Errors = []
    first = (schema.get("allOf") or [{}])[0]
    for inner, path in branches(schema, at):
        if ".anyOf[" in path[len(at) :] and schema.get("anyOf") == _INT_OR_STRING_ANY_OF:
            continue  # the one pattern that may name types
        errors += _nested(inner, path, skip=inner is first and first.get("anyOf") == _INT_OR_STRING_ANY_OF)
    pattern = schema.get("pattern")
    if pattern:
        try:
            regex.compile(pattern)
        except ValueError as error:
            why = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            errors.append(invalid(f"{at}.pattern", pattern, why))
    return errors


def _nested(schema: Schema, at: str, *, skip: bool = False) -> Errors:
    errors = _judging({k: v for k, v in schema.items() if not (skip and k == "anyOf")}, at)
    if isinstance(schema.get("items"), dict):
        errors += _nested(schema["items"], f"{at}.items")
    for name, child in (schema.get("properties") or {}).items():
        errors += _nested(child, f"{at}.properties[{name}]")
        if name == "metadata":
            errors.append(forbidden_field(f"{at}.properties[metadata]", "must not be specified in a nested context"))
    return errors + [forbidden_field(f"{at}.{key}", why) for key, why in _STRUCTURE_ONLY if _says(schema.get(key))]


def _says(value: Any) -> bool:
    return value is not None and value is not False and value != "" and value != []


def _completeness(judge: Schema, structure: Schema | None, at: str, judge_at: str) -> Errors:
    """Every field that `judge` looks at is a field of the structure."""
    errors: Errors = []
    for inner, path in branches(judge, judge_at):
        errors += _complete(inner, structure, at, path)
    return errors


def _complete(judge: Schema, structure: Schema | None, at: str, judge_at: str) -> Errors:
    if structure is None:
        return [required(at, f"because it is defined in {judge_at}")]
    errors = _completeness(judge, structure, at, judge_at)
    if isinstance(judge.get("items"), dict):
        errors += _complete(judge["items"], structure.get("items"), f"{at}.items", f"{judge_at}.items")
    for name, child in (judge.get("properties") or {}).items():
        field, judged = f"{at}.properties[{name}]", f"{judge_at}.properties[{name}]"
        errors += _complete(child, (structure.get("properties") or {}).get(name), field, judged)
    return errors
