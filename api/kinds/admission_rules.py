"""What webhook configurations and admission policies have in common: the rules that say which requests they see.

Rules and wording follow k8s.io/kubernetes/pkg/apis/admissionregistration/validation.
"""

from __future__ import annotations

from api.errors import duplicate, invalid, required
from api.meta import Obj
from api.rules import Row, alone, at_most, check, each, needed, needed_as, of
from api.validation import (
    Errors,
    qualified_name,
    shown,
)

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")


def default_rules(rules: list[Obj] | None) -> None:
    for rule in rules or []:
        rule.setdefault("scope", "*")


def _resources(resources: list[str] | None, field: str) -> Errors:
    resources = resources or []
    errors: Errors = [] if resources else [required(field)]
    every_part: set[str] = set()  # x of x/*
    every_kind: set[str] = set()  # y of */y
    plain = False
    for index, text in enumerate(resources):
        if not text:
            errors.append(required(f"{field}[{index}]"))
            continue
        kind, slash, part = text.partition("/")
        if not slash:
            plain = text != "*"
            continue
        if kind in every_part:
            errors.append(invalid(f"{field}[{index}]", text, f"if '{kind}/*' is present, must not specify {text}"))
        if part in every_kind:
            errors.append(invalid(f"{field}[{index}]", text, f"if '*/{part}' is present, must not specify {text}"))
        if part == "*":
            every_part.add(kind)
        if kind == "*":
            every_kind.add(part)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid(field, shown(resources), "if '*/*' is present, must not specify other resources"))
    if "*" in resources and plain:
        why = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(field, shown(resources), why))
    return errors


_RULE: tuple[Row, ...] = (
    ("operations", needed()),
    ("operations", alone("operations")),
    ("operations", each(of(*_OPERATIONS))),
    ("apiGroups", needed()),
    ("apiGroups", alone("API groups")),
    ("apiVersions", needed()),
    ("apiVersions", alone("API versions")),
    ("apiVersions", each(needed())),
    ("resources", _resources),
    ("scope", of("*", "Cluster", "Namespaced")),
)


def rule_with_operations(rule: Obj, field: str) -> Errors:
    return check(rule, field, _RULE)


def unique(items: list[Obj] | None, field: str, key: str) -> Errors:
    names = [item.get(key) for item in items or []]
    return [duplicate(f"{field}[{i}].{key}", n) for i, n in enumerate(names) if n and n in names[:i]]


def match_conditions(conditions: list[Obj] | None, field: str) -> Errors:
    """matchConditions."""
    errors = at_most(64)(conditions, field)
    for index, condition in enumerate(conditions or []):
        errors += expression(condition, "expression", f"{field}[{index}]")
        errors += needed_as(qualified_name)(condition.get("name"), f"{field}[{index}].name")
    return errors + unique(conditions, field, "name")


def expression(obj: Obj, name: str, field: str, detail: str = "") -> Errors:
    return [] if (obj.get(name) or "").strip() else [required(f"{field}.{name}", detail)]
