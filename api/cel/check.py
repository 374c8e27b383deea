"""Whether the rules of a schema can stand: what the writer of a CustomResourceDefinition is told.

Rules must compile, be true or false, compare only what can be found again in the old object, and cannot cost too
much for the largest object that the schema lets through. Source: ValidateCustomResourceDefinitionOpenAPISchema in
k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.cel.program import CompileError, Program
from api.cel.rules import compile_rule, compile_rules
from api.cel.shapes import Schema, shape_of
from api.cel.types import BOOL, STRING, UNBOUNDED
from api.cel.where import RULES, field_path, has_rules
from api.errors import FieldError, forbidden_field, invalid, not_supported, required

RULE_LIMIT = 10_000_000
TOTAL_LIMIT = 100_000_000
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


@dataclass(frozen=True, slots=True)
class _Place:
    at: str
    root: bool
    count: float | None
    """How many such values an object can have; None when the schema sets no bound."""
    uncorrelatable: str = ""
    """The path of the closest list or map upwards whose items cannot be found again."""


@dataclass(slots=True)
class _Findings:
    errors: list[FieldError] = field(default_factory=list)
    costs: list[tuple[float, str]] = field(default_factory=list)


def check_rules(schema: Schema, at: str) -> list[FieldError]:
    """What is wrong with the rules of a structural schema that stands at `at`."""
    if not has_rules(schema):
        return []
    found = _Findings()
    _walk(schema, _Place(at, True, 1), found)
    total = sum(cost for cost, _ in found.costs)
    if total > TOTAL_LIMIT:
        most = sorted(found.costs, reverse=True)[:4]
        found.errors += [
            forbidden_field(
                path,
                "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire "
                "OpenAPIv3 schema",
            )
            for _, path in most
        ]
        name = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema"
        found.errors.append(forbidden_field(at, _too_much(name, total, TOTAL_LIMIT)))
    return found.errors


def _walk(schema: Schema, place: _Place, found: _Findings) -> None:
    at = place.at
    below = place.uncorrelatable or (at if schema.get("x-kubernetes-map-type") == "atomic" else "")
    children: list[tuple[str, Schema, str | None, str]]
    children = [(f"properties[{n}]", child, None, below) for n, child in (schema.get("properties") or {}).items()]
    if isinstance(schema.get("additionalProperties"), Mapping):
        children.append(("additionalProperties", schema["additionalProperties"], "maxProperties", below))
    if isinstance(schema.get("items"), Mapping):
        lost = below or (at if schema.get("x-kubernetes-list-type") != "map" else "")
        children.append(("items", schema["items"], "maxItems", lost))
    for name, child, limit, uncorrelatable in children:
        if has_rules(child):
            count = place.count if limit is None else _times(place.count, schema.get(limit))
            root = bool(child.get("x-kubernetes-embedded-resource"))
            _walk(child, _Place(f"{at}.{name}", root, count, uncorrelatable), found)
    given = schema.get(RULES) or []
    wrong = [error for index, rule in enumerate(given) for error in _form(rule, f"{at}.{RULES}[{index}]", schema)]
    found.errors += wrong
    if given and not wrong:
        _rules(given, schema, place, found)
    default = schema.get("default")
    if default is not None and not found.errors:
        rules = compile_rules(schema, root=place.root)
        found.errors += rules.validate(default, None, f"{at}.default") if rules else []


def _times(count: float | None, limit: Any) -> float | None:
    return None if count is None or limit is None else count * int(limit)


def _form(rule: Mapping[str, Any], at: str, schema: Schema) -> list[FieldError]:
    """What can be said of a rule without reading its expression."""
    text, message, path = str(rule.get("rule") or ""), rule.get("message") or "", rule.get("fieldPath") or ""
    errors: list[FieldError] = []
    if not text.strip():
        errors.append(required(f"{at}.rule", "rule is not specified"))
    elif message and not message.strip():
        errors.append(invalid(f"{at}.message", message, "message must be non-empty if specified"))
    elif len(message) > 2048:
        errors.append(
            invalid(f"{at}.message", message[:10] + "...", "message must have a maximum length of 2048 characters")
        )
    elif _breaks(message.strip()):
        errors.append(invalid(f"{at}.message", message, "message must not contain line breaks"))
    elif _breaks(text.strip()) and not message.strip():
        errors.append(required(f"{at}.message", "message must be specified if rule contains line breaks"))
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        errors.append(required(f"{at}.messageExpression", "messageExpression must be non-empty if specified"))
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        errors.append(not_supported(f"{at}.reason", rule["reason"], _REASONS))
    if path and not path.strip():
        errors.append(invalid(f"{at}.fieldPath", path, "fieldPath must be non-empty if specified"))
    if _breaks(path):
        errors.append(invalid(f"{at}.fieldPath", path, "fieldPath must not contain line breaks"))
    if path:
        try:
            field_path(path, schema)
        except ValueError as error:
            errors.append(invalid(f"{at}.fieldPath", path, f"fieldPath must be a valid path: {error}"))
    return errors


def _breaks(text: str) -> bool:
    return "\n" in text or "\r" in text


def _rules(given: list[Mapping[str, Any]], schema: Schema, place: _Place, found: _Findings) -> None:
    shape = shape_of(schema, root=place.root)
    if shape is None:
        preserves = str(bool(schema.get("x-kubernetes-preserve-unknown-fields"))).lower()
        why = (
            "rule declared on schema that does not support validation rules type: "
            f"'{schema.get('type', '')}' x-kubernetes-preserve-unknown-fields: '{preserves}'"
        )
        found.errors.append(FieldError("InternalError", f"{place.at}.{RULES}", f"Internal error: {why}"))
        return
    for index, rule in enumerate(given):
        at = f"{place.at}.{RULES}[{index}]"
        try:
            compiled = compile_rule(rule, shape, schema)
        except CompileError as error:
            found.errors.append(_uncompiled(rule, at, error))
            continue
        if compiled.program.type != BOOL:
            found.errors.append(invalid(f"{at}.rule", _Shown(rule), "cel expression must evaluate to a bool"))
        count = place.count if place.count is not None else UNBOUNDED // (shape.least + 1)
        _cost("estimated rule cost", compiled.program, count, f"{at}.rule", found)
        if compiled.message is not None:
            if compiled.message.type != STRING:
                found.errors.append(
                    invalid(f"{at}.messageExpression", _Shown(rule), "messageExpression must evaluate to a string")
                )
            _cost("estimated messageExpression cost", compiled.message, 1, f"{at}.messageExpression", found)
        if compiled.is_transition and place.uncorrelatable:
            found.errors.append(
                invalid(
                    f"{at}.rule",
                    rule["rule"],
                    f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelatable}",
                )
            )


def _uncompiled(rule: Mapping[str, Any], at: str, error: CompileError) -> FieldError:
    if error.source == rule["rule"]:
        return invalid(f"{at}.rule", _Shown(rule), f"compilation failed: {error}")
    return invalid(f"{at}.messageExpression", _Shown(rule), f"messageExpression compilation failed: {error}")


def _cost(name: str, program: Program, count: float, at: str, found: _Findings) -> None:
    cost = program.cost * count
    found.costs.append((cost, at))
    if cost > RULE_LIMIT:
        found.errors.append(forbidden_field(at, _too_much(name, cost, RULE_LIMIT)))


def _too_much(name: str, cost: float, limit: float) -> str:
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_ADVICE}"


class _Shown:
    """A rule as messages show it."""

    def __init__(self, rule: Mapping[str, Any]) -> None:
        self._rule = rule

    def __str__(self) -> str:
        def text(name: str) -> str:
            return json.dumps(self._rule.get(name) or "", ensure_ascii=False)

        return (
            f"apiextensions.ValidationRule{{Rule:{text('rule')}, Message:{text('message')}, "
            f"MessageExpression:{text('messageExpression')}, "
            f"Reason:{_pointer(self._rule, 'reason', '*apiextensions.FieldValueErrorReason')}, "
            f"FieldPath:{text('fieldPath')}, OptionalOldSelf:{_pointer(self._rule, 'optionalOldSelf', '*bool')}}}"
        )


def _pointer(rule: Mapping[str, Any], name: str, kind: str) -> str:
    """Go prints where a value lies, which nobody can use; that it is there is all one learns."""
    return f"({kind})({'nil' if rule.get(name) is None else json.dumps(rule[name])})"
