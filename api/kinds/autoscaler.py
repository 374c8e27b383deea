"""HorizontalPodAutoscaler: defaults, validation, columns, and its older form, autoscaling/v1.

Rules: k8s.io/kubernetes/pkg/apis/autoscaling. Objects are stored as v2. What v1 has no field for travels in the
annotations that upstream uses for it, metrics in v1's own form.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from api import meta, printing, quantities, schemas
from api.errors import BadRequest, forbidden_field, invalid, not_supported, required
from api.kinds.containers import container_resource_name
from api.meta import Obj
from api.registry import Column, Hooks, Resource
from api.rules import NOT_NEGATIVE, check, given, needed, needed_as, of, rows
from api.validation import Errors, dns_label, label_selector, path_segment

_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
_SOURCES = {
    "Object": "object", "Pods": "pods", "Resource": "resource", "External": "external",
    "ContainerResource": "containerResource",
}  # fmt: skip
_CPU = 80
_METRICS, _BEHAVIOR = "autoscaling.alpha.kubernetes.io/metrics", "autoscaling.alpha.kubernetes.io/behavior"
_CURRENT, _CONDITIONS = (
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "autoscaling.alpha.kubernetes.io/conditions",
)


def _cpu(utilization: int) -> Obj:
    target = {"type": "Utilization", "averageUtilization": utilization}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def default(autoscaler: Obj) -> None:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [_cpu(_CPU)]
    behavior = spec.get("behavior")
    if behavior is not None:
        for direction, rules in (("scaleUp", _UP), ("scaleDown", _DOWN)):
            behavior[direction] = json.loads(json.dumps(rules)) | (behavior.get(direction) or {})


def prepare(autoscaler: Obj, old: Obj | None) -> None:
    if old is None:
        autoscaler["status"] = {"desiredReplicas": 0}


def validate(autoscaler: Obj, old: Obj | None) -> Errors:
    spec = autoscaler.get("spec") or {}
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    least = 0 if old is not None and old["spec"].get("minReplicas") == 0 else 1
    errors: Errors = []
    if low is not None and low < least:
        errors.append(invalid("spec.minReplicas", low, f"must be greater than or equal to {least}"))
    if high < 1:
        errors.append(invalid("spec.maxReplicas", high, "must be greater than 0"))
    if low is not None and high < low:
        errors.append(invalid("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`"))
    errors += _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    metrics = spec.get("metrics") or []
    for index, metric in enumerate(metrics):
        errors += _metric(metric, f"spec.metrics[{index}]")
    if low == 0 and not any(m.get("type") in ("Object", "External") for m in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(forbidden_field("spec.metrics", text))
    behavior = spec.get("behavior") or {}
    for direction in ("scaleUp", "scaleDown"):
        errors += given(_scaling)(behavior.get(direction), f"spec.behavior.{direction}")
    return errors


def _reference(reference: Any, at: str) -> Errors:
    return check(reference, at, (("kind", needed_as(path_segment)), ("name", needed_as(path_segment))))


def _scaling(rules: Obj, at: str) -> Errors:
    window, field = rules.get("stabilizationWindowSeconds"), f"{at}.stabilizationWindowSeconds"
    errors: Errors = []
    if window is not None and window < 0:
        errors.append(invalid(field, window, "must be greater than or equal to zero"))
    if window is not None and window > 3600:
        errors.append(invalid(field, window, "must be less than or equal to 3600"))
    errors += of("Disabled", "Max", "Min")(rules.get("selectPolicy"), f"{at}.selectPolicy")
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantities.is_valid(tolerance) and quantities.parse(tolerance) < 0:
        errors.append(invalid(f"{at}.tolerance", tolerance, "must be greater than or equal to 0"))
    if not rules.get("policies"):
        errors.append(required(f"{at}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        here, period = f"{at}.policies[{index}]", policy.get("periodSeconds", 0)
        errors += of("Percent", "Pods")(policy.get("type") or "", f"{here}.type")
        if policy.get("value", 0) <= 0:
            errors.append(invalid(f"{here}.value", policy.get("value", 0), "must be greater than zero"))
        if period <= 0:
            errors.append(invalid(f"{here}.periodSeconds", period, "must be greater than zero"))
        if period > 1800:
            errors.append(invalid(f"{here}.periodSeconds", period, "must be less than or equal to 1800"))
    return errors


def _metric(metric: Obj, at: str) -> Errors:
    kind = metric.get("type") or ""
    errors: Errors = []
    if not kind:
        errors.append(required(f"{at}.type", "must specify a metric source type"))
    if kind not in _SOURCES:
        errors.append(not_supported(f"{at}.type", kind, sorted(_SOURCES)))
    expected = _SOURCES.get(kind, "")
    present = [name for name in ("object", "external", "pods", "resource", "containerResource") if metric.get(name)]
    if present:
        errors += _SOURCE_RULES[present[0]](metric[present[0]], f"{at}.{present[0]}")
        errors += _target(metric[present[0]].get("target") or {}, f"{at}.{present[0]}.target", present[0])
    if expected and expected not in present:
        errors.append(required(f"{at}.{expected}", "must populate information for the given metric source"))
    if len(present) != 1:
        errors += [
            forbidden_field(f"{at}.{name}", "must populate the given metric source only")
            for name in present
            if name != expected
        ]
    return errors


def _identifier(metric: Any, at: str) -> Errors:
    metric = metric or {}
    errors = needed_as(path_segment)(metric.get("name"), f"{at}.name")
    return errors + label_selector(metric.get("selector"), f"{at}.selector")


_NAMED = ("name", needed("must specify a resource name"))
_SOURCE_RULES = {
    "object": rows(("describedObject", lambda v, at: _reference(v or {}, at)), ("metric", _identifier)),
    "external": rows(("metric", _identifier)),
    "pods": rows(("metric", _identifier)),
    "resource": rows(_NAMED),
    "containerResource": rows(
        _NAMED, ("name", lambda v, at: container_resource_name(v, at) if v else []),
        ("container", lambda v, at: dns_label(v, at) if v else [required(at, "must specify a container")]),
    ),
}  # fmt: skip


def _target(target: Obj, at: str, source: str) -> Errors:
    kind, value = target.get("type") or "", target.get("value")
    average, utilization = target.get("averageValue"), target.get("averageUtilization")
    errors: Errors = []
    if not kind:
        errors.append(required(f"{at}.type", "must specify a metric target type"))
    elif kind not in ("Utilization", "Value", "AverageValue"):
        text = "must be either Utilization, Value, or AverageValue"
        errors.append(invalid(f"{at}.type", kind, text))
    for name, amount in (("value", value), ("averageValue", average)):
        if amount is not None and quantities.is_valid(amount) and quantities.parse(amount) <= 0:
            errors.append(invalid(f"{at}.{name}", amount, "must be positive"))
    if utilization is not None and utilization < 1:
        errors.append(invalid(f"{at}.averageUtilization", utilization, "must be greater than 0"))
    if source == "object" and value is None and average is None:
        errors.append(required(f"{at}.averageValue", "must set either a target value or averageValue"))
    if source == "external" and value is None and average is None:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{at}.averageValue", text))
    if source == "external" and value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden_field(f"{at}.value", text))
    if source == "pods" and average is None:
        errors.append(required(f"{at}.averageValue", "must specify a positive target averageValue"))
    if source in ("resource", "containerResource"):
        if utilization is None and average is None:
            text = "must set either a target raw value or a target utilization"
            errors.append(required(f"{at}.averageUtilization", text))
        if utilization is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            errors.append(forbidden_field(f"{at}.averageValue", text))
    return errors


def validate_status(autoscaler: Obj, old: Obj | None) -> Errors:
    names = ("currentReplicas", "desiredReplicas")
    return check(autoscaler.get("status") or {}, "status", [(name, NOT_NEGATIVE) for name in names])


# --- as a table --------------------------------------------------------------------------------------------

COLUMNS = (
    Column("Name", format="name"),
    Column("Reference"),
    Column("Targets"),
    Column("MinPods"),
    Column("MaxPods"),
    Column("Replicas"),
    Column("Age"),
)


def cells(autoscaler: Obj, now: datetime) -> list[Any]:
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    reference = spec.get("scaleTargetRef") or {}
    return [
        meta.name(autoscaler),
        f"{reference.get('kind', '')}/{reference.get('name', '')}",
        _targets(spec.get("metrics") or [], status.get("currentMetrics") or []),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else "<unset>",
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        printing.age_of(autoscaler, now),
    ]


def _targets(metrics: list[Obj], current: list[Obj]) -> str:
    shown = [_shown(m, current[i] if i < len(current) else {}) for i, m in enumerate(metrics)]
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more or "<none>"


def _shown(metric: Obj, status: Obj) -> str:
    name = _SOURCES.get(metric.get("type", ""), "")
    if not name:
        return "<unknown type>"
    source = metric.get(name) or {}
    target, found = source.get("target") or {}, (status.get(name) or {}).get("current") or {}
    if name in ("resource", "containerResource"):
        if target.get("averageValue") is not None:
            return f"{source.get('name')}: {found.get('averageValue', '<unknown>')}/{target['averageValue']}"
        now, wanted = found.get("averageUtilization"), target.get("averageUtilization")
        text = "<unknown>" if now is None else f"{now}%"
        return f"{source.get('name')}: {text}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if target.get("averageValue") is not None:
        text = f"{found.get('averageValue', '<unknown>')}/{target['averageValue']}"
        return text if name == "pods" else f"{text} (avg)"
    return f"{found.get('value', '<unknown>')}/{target.get('value', '<unknown>')}"


# --- autoscaling/v1 ----------------------------------------------------------------------------------------


def default_v1(autoscaler: Obj) -> None:
    autoscaler.setdefault("spec", {}).setdefault("minReplicas", 1)


def prepare_v1(autoscaler: Obj, old: Obj | None) -> None:
    if old is None:
        autoscaler["status"] = {"currentReplicas": 0, "desiredReplicas": 0}


_V2 = Resource("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "", True)
# The fields of each source in v1: where they stand in v2 (`target` is `current` in a status), their old name.
_AVERAGE = ("target.averageValue", "targetAverageValue")
_RESOURCE = (("name", "name"), ("target.averageUtilization", "targetAverageUtilization"), _AVERAGE)
_IN_V1 = {
    "object": (
        ("describedObject", "target"), ("metric.name", "metricName"), ("metric.selector", "selector"),
        ("target.value", "targetValue"), ("target.averageValue", "averageValue"),
    ),
    "pods": (("metric.name", "metricName"), ("metric.selector", "selector"), _AVERAGE),
    "resource": _RESOURCE,
    "containerResource": (*_RESOURCE, ("container", "container")),
    "external": (
        ("metric.name", "metricName"), ("metric.selector", "metricSelector"), ("target.value", "targetValue"), _AVERAGE,
    ),
}  # fmt: skip


def _old_metric(metric: Obj, aim: str) -> Obj:
    source = _SOURCES.get(metric["type"], "")
    old: Obj = {}
    for path, name in _IN_V1.get(source, ()):
        value: Any = metric.get(source)
        for step in path.replace("target.", f"{aim}.").split("."):
            value = (value or {}).get(step)
        if value is not None:
            old[_renamed(name, aim)] = value
    return {"type": metric["type"], source: old}


def _new_metric(metric: Obj, aim: str) -> Obj:
    source = _SOURCES.get(metric.get("type") or "", "")
    new: Obj = {aim: {}}
    for path, name in _IN_V1.get(source, ()):
        value = (metric.get(source) or {}).get(_renamed(name, aim))
        if value is not None:
            *above, last = path.replace("target.", f"{aim}.").split(".")
            (new.setdefault(above[0], {}) if above else new)[last] = value
    if aim == "target":
        kinds = (("averageUtilization", "Utilization"), ("averageValue", "AverageValue"), ("value", "Value"))
        new[aim]["type"] = next((kind for name, kind in kinds if name in new[aim]), "")
    return {"type": metric.get("type") or "", source: new}


def _renamed(name: str, aim: str) -> str:
    return name.replace("target", aim) if name.startswith("target") and name != "target" else name


def _is_cpu(metric: Obj) -> bool:
    target = (metric.get("resource") or {}).get("target") or {}
    return (metric.get("resource") or {}).get("name") == "cpu" and target.get("averageUtilization") is not None


def to_v2(v1: Obj) -> Obj:
    spec, status = dict(v1.get("spec") or {}), dict(v1.get("status") or {})
    annotations = dict(meta.annotations(v1))
    packed = {key: _unpacked(key, annotations.pop(key, "")) for key in (_METRICS, _BEHAVIOR, _CURRENT, _CONDITIONS)}
    utilization = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = [_cpu(utilization)] if utilization is not None else []
    metrics += [_new_metric(metric, "target") for metric in packed[_METRICS] or ()]
    spec["metrics"] = metrics or [_cpu(_CPU)]
    if packed[_BEHAVIOR]:
        spec["behavior"] = packed[_BEHAVIOR]
    current = [_new_metric(metric, "current") for metric in packed[_CURRENT] or ()]
    found = status.pop("currentCPUUtilizationPercentage", None)
    if found is not None:
        name = {"name": "cpu", "current": {"averageUtilization": found}}
        current.insert(0, {"type": "Resource", "resource": name})
    for key, value in (("currentMetrics", current), ("conditions", packed[_CONDITIONS])):
        if value:
            status[key] = value
    if "status" in v1:
        status.setdefault("desiredReplicas", 0)
    v2 = _with(v1, annotations, spec, status)
    findings = schemas.inspect(_V2, v2) if any(packed.values()) else None
    if findings is not None and findings.mistyped:
        raise BadRequest(findings.mistyped[0])
    return v2


def to_v1(v2: Obj) -> Obj:
    spec, status = dict(v2.get("spec") or {}), dict(v2.get("status") or {})
    annotations = dict(meta.annotations(v2))
    metrics = list(spec.pop("metrics", None) or [])
    cpu = next((m for m in metrics if _is_cpu(m)), None)
    if cpu is not None:
        metrics.remove(cpu)
        spec["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
    current = list(status.pop("currentMetrics", None) or [])
    found = next((m for m in current if (m.get("resource") or {}).get("name") == "cpu"), None)
    utilization = ((found or {}).get("resource") or {}).get("current", {}).get("averageUtilization")
    if found is not None and utilization is not None:
        current.remove(found)
        status["currentCPUUtilizationPercentage"] = utilization
    packed = {
        _METRICS: [_old_metric(metric, "target") for metric in metrics],
        _BEHAVIOR: spec.pop("behavior", None),
        _CURRENT: [_old_metric(metric, "current") for metric in current],
        _CONDITIONS: status.pop("conditions", None),
    }
    for key, value in packed.items():
        if value:
            annotations[key] = json.dumps(value, separators=(",", ":"))
    if "status" in v2:
        status.setdefault("currentReplicas", 0)
    return _with(v2, annotations, spec, status)


def _unpacked(key: str, text: str) -> Any:
    try:
        value = json.loads(text) if text else None
    except ValueError as error:
        raise BadRequest(f"{key}: {error}") from error
    metrics = value if key in (_METRICS, _CURRENT) and value is not None else []
    if not isinstance(metrics, list) or not all(_is_metric(metric) for metric in metrics):
        raise BadRequest(f"{key}: not a list of metrics")
    return value


def _is_metric(value: Any) -> bool:
    kind = value.get("type") if isinstance(value, dict) else None
    return isinstance(kind, str) and isinstance(value.get(_SOURCES.get(kind, "")), dict)


def _with(obj: Obj, annotations: dict[str, str], spec: Obj, status: Obj) -> Obj:
    metadata = {k: v for k, v in obj["metadata"].items() if k != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "metadata": metadata, "spec": spec} | ({"status": status} if "status" in obj else {})


def validate_v1(autoscaler: Obj, old: Obj | None) -> Errors:
    """By the rules of v2, which is what is stored, and with its field paths, as upstream."""
    return validate(to_v2(autoscaler), None if old is None else to_v2(old))


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells
)
V1 = Hooks(
    default=default_v1,
    prepare=prepare_v1,
    validate=validate_v1,
    columns=COLUMNS,
    cells=lambda obj, now: cells(to_v2(obj), now),
    to_stored=to_v2,
    from_stored=to_v1,
)
