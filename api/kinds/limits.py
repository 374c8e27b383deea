"""LimitRange and ResourceQuota: defaults, validation, columns (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing, quantities
from api.errors import duplicate, forbidden_field, invalid, required
from api.kinds.containers import (
    container_resource_name,
    may_overcommit,
    resource_name,
    resource_quantity,
)
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, qualified_name, shown

# --- LimitRange --------------------------------------------------------------------------------------------


def default_range(limit_range: Obj) -> None:
    for item in limit_range.setdefault("spec", {}).setdefault("limits", []):
        if item.get("type") == "Container":
            item["default"] = {**(item.get("max") or {}), **(item.get("default") or {})}
            item["defaultRequest"] = {
                **(item.get("min") or {}), **item["default"], **(item.get("defaultRequest") or {}),
            }  # fmt: skip
            for name in ("default", "defaultRequest"):
                if not item[name]:
                    del item[name]


def validate_range(limit_range: Obj, old: Obj | None) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, item in enumerate((limit_range.get("spec") or {}).get("limits") or ()):
        at, kind = f"spec.limits[{index}]", item.get("type") or ""
        wrong = qualified_name(kind, f"{at}.type")
        if not wrong and "/" not in kind and kind not in ("Pod", "Container", "PersistentVolumeClaim"):
            wrong = [invalid(f"{at}.type", kind, "must be a standard limit type or fully qualified")]
        errors += wrong + ([duplicate(f"{at}.type", kind)] if kind in seen else [])
        seen.add(kind)
        errors += _range_item(item, kind, at)
    return errors


def _range_item(item: Obj, kind: str, at: str) -> Errors:
    errors: Errors = []
    rule = container_resource_name if kind in ("Pod", "Container") else resource_name
    for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
        if kind == "Pod" and field in ("default", "defaultRequest"):
            if item.get(field):
                errors.append(forbidden_field(f"{at}.{field}", "may not be specified when `type` is 'Pod'"))
            continue
        errors += [e for name in item.get(field) or () for e in rule(name, f"{at}.{field}[{name}]")]
    if kind == "PersistentVolumeClaim" and not any("storage" in (item.get(f) or {}) for f in ("min", "max")):
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{at}.limits", text))
    names = {n for f in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio") for n in item.get(f) or ()}
    for name in sorted(names):
        errors += _ordered(item, kind, name, at)
    return errors


_ORDER = (  # (smaller, larger, whose field, whose value, words)
    ("min", "max", "min", "min", "min value {0} is greater than max value {1}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest",
     "min value {0} is greater than default request value {1}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest",
     "default request value {0} is greater than max value {1}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest",
     "default request value {0} is greater than default limit value {1}"),
    ("min", "default", "default", "min", "min value {0} is greater than default value {1}"),
    ("default", "max", "default", "max", "default value {0} is greater than max value {1}"),
)  # fmt: skip


def _ordered(item: Obj, kind: str, name: str, at: str) -> Errors:
    texts = {
        field: quantities.canonical(item[field][name])
        for field in ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")
        if name in (item.get(field) or {}) and not (kind == "Pod" and field in ("default", "defaultRequest"))
    }
    amounts = {field: quantities.parse(text) for field, text in texts.items()}
    errors: Errors = []
    for smaller, larger, field, value, words in _ORDER:
        if smaller in amounts and larger in amounts and amounts[smaller] > amounts[larger]:
            text = words.format(texts[smaller], texts[larger])
            errors.append(invalid(f"{at}.{field}[{name}]", texts[value], text))
    ratio, field = amounts.get("maxLimitRequestRatio"), f"{at}.maxLimitRequestRatio[{name}]"
    if ratio is not None and ratio < 1:
        text = f"ratio {texts['maxLimitRequestRatio']} is less than 1"
        errors.append(invalid(field, texts["maxLimitRequestRatio"], text))
    if ratio is not None and amounts.get("min") and "max" in amounts and ratio > amounts["max"] / amounts["min"]:
        over = amounts["max"] / amounts["min"]
        text = f"ratio {texts['maxLimitRequestRatio']} is greater than max/min = {over:f}"
        errors.append(invalid(field, texts["maxLimitRequestRatio"], text))
    if (
        not may_overcommit(name)
        and "default" in texts
        and texts.get("defaultRequest", texts["default"]) != texts["default"]
    ):
        both = (
            f"default value {texts['default']} must equal to defaultRequest value {texts['defaultRequest']} in {name}"
        )
        errors.append(invalid(f"{at}.defaultRequest[{name}]", texts["defaultRequest"], both))
    return errors


def range_cells(limit_range: Obj, now: datetime) -> list[Any]:
    return [meta.name(limit_range), limit_range["metadata"].get("creationTimestamp", "")]


RANGE = Hooks(
    default=default_range, validate=validate_range, columns=(Column("Name", format="name"), Column("Created At")),
    cells=range_cells,
)  # fmt: skip

# --- ResourceQuota -----------------------------------------------------------------------------------------

_OBJECTS = frozenset(("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
    "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"))  # fmt: skip
_COMPUTE = frozenset(("cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"))
_STANDARD = _OBJECTS | _COMPUTE | frozenset(
    ("ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage")
)  # fmt: skip
_PODS = frozenset(("pods",))
_SCOPES = {
    "BestEffort": _PODS,
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
} | dict.fromkeys(
    ("CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating"), _PODS | _COMPUTE
)
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


def _is_standard(name: str) -> bool:
    return name in _STANDARD or name.startswith(("hugepages-", "requests.hugepages-"))


def _amounts(amounts: Obj | None, at: str) -> Errors:
    errors: Errors = []
    for name, value in (amounts or {}).items():
        field = f"{at}[{name}]"
        wrong = qualified_name(name, field)
        if not wrong and "/" not in name and not _is_standard(name):
            if name != "storage":
                wrong.append(invalid(field, name, "must be a standard resource type or fully qualified"))
            wrong.append(invalid(field, name, "must be a standard resource for quota"))
        errors += wrong + resource_quantity(name, value, field, _OBJECTS)
    return errors


def _scopes(spec: Obj, found: list[str], at: str, field: str, whole: Any) -> Errors:
    errors: Errors = []
    for scope in found:
        if scope not in _SCOPES:
            value = scope if field != at else whole
            errors.append(invalid(field, value, "unsupported scope"))
        errors += [
            invalid(at, whole, "unsupported scope applied to resource")
            for name in sorted(spec.get("hard") or ())
            if _is_standard(name) and name not in _SCOPES.get(scope, ())
        ]
    if any(set(pair) <= set(found) for pair in _OPPOSITES):
        errors.append(invalid(at, shown(spec.get("scopes")), "conflicting scopes"))
    return errors


def validate_quota(quota: Obj, old: Obj | None) -> Errors:
    spec = quota.get("spec") or {}
    errors = _amounts(spec.get("hard"), "spec.hard")
    scopes = spec.get("scopes") or []
    errors += _scopes(spec, scopes, "spec.scopes", "spec.scopes", shown(scopes))
    selector, at = spec.get("scopeSelector"), "spec.matchExpressions"
    if selector is not None:
        at = "spec.scopeSelector.matchExpressions"
        expressions = selector.get("matchExpressions") or []
        names = [e.get("scopeName") or "" for e in expressions]
        errors += _scopes(spec, names, at, f"{at}.scopeName", shown(selector))
        errors += [e for expression in expressions for e in _scope_expression(expression, at)]
    if old is not None and set(scopes) != set((old.get("spec") or {}).get("scopes") or ()):
        errors.append(invalid("spec.scopes", shown(scopes), "field is immutable"))
    return errors


def _scope_expression(expression: Obj, at: str) -> Errors:
    operator, values = expression.get("operator") or "", expression.get("values") or []
    errors: Errors = []
    if (
        expression.get("scopeName") in set(_SCOPES) - {"PriorityClass", "VolumeAttributesClass"}
        and operator != "Exists"
    ):
        text = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errors.append(invalid(f"{at}.operator", operator, text))
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errors.append(required(f"{at}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.append(invalid(f"{at}.values", shown(values), text))
    else:
        errors.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
    return errors


def validate_quota_status(quota: Obj, old: Obj | None) -> Errors:
    status = quota.get("status") or {}
    return _amounts(status.get("hard"), "status.hard") + _amounts(status.get("used"), "status.used")


def quota_cells(quota: Obj, now: datetime) -> list[Any]:
    status = quota.get("status") or {}
    used, texts = status.get("used") or {}, {False: "", True: ""}
    for name, hard in sorted((status.get("hard") or {}).items()):
        part = f"{name}: {quantities.canonical(used.get(name, '0'))}/{quantities.canonical(hard)}, "
        texts[name.startswith("limits.")] += part
    return [
        meta.name(quota), texts[False].removesuffix(", "), texts[True].removesuffix(", "),
        printing.age_of(quota, now),
    ]  # fmt: skip


QUOTA = Hooks(
    validate=validate_quota,
    validate_status=validate_quota_status,
    columns=(Column("Name", format="name"), Column("Request"), Column("Limit"), Column("Age")),
    cells=quota_cells,
)
