"""APIService: defaults, validation, columns.

Rules and wording follow k8s.io/kube-aggregator/pkg/apis/apiregistration.
"""

from __future__ import annotations

import json

from api import meta
from api.columns import AGE, Cell, tabled
from api.errors import invalid, required
from api.meta import Obj
from api.registry import Hooks
from api.rules import each, needed, of, within
from api.validation import Errors, dns_1035_label, dns_subdomain, path_segment, port_number

LOCAL = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}


def _default(api_service: Obj) -> None:
    service = (api_service.get("spec") or {}).get("service")
    if service is not None:
        service.setdefault("port", 443)


def _prepare(api_service: Obj, old: Obj | None) -> None:
    """A local one is available from the start."""
    if old is None and (api_service.get("spec") or {}).get("service") is None:
        stamp = api_service["metadata"]["creationTimestamp"]
        api_service["status"] = {"conditions": [{"lastTransitionTime": stamp, **LOCAL}]}


def _validate(api_service: Obj, _: Obj | None) -> Errors:
    spec, name = api_service.get("spec") or {}, meta.name(api_service)
    group, version = spec.get("group") or "", spec.get("version") or ""
    errors: Errors = []
    if name != f"{version}.{group}":
        why = f'must be `spec.version+"."+spec.group`: {json.dumps(f"{version}.{group}")}'
        errors.append(invalid("metadata.name", name, why))
    if group:
        errors += dns_subdomain(group, "spec.group")
    elif version != "v1":
        errors.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    errors += dns_1035_label(version, "spec.version")
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        rule = within(1, most, f"must be positive and less than {most}")
        errors += rule(spec.get(field) or 0, f"spec.{field}")
    return errors + _where(spec)


def _where(spec: Obj) -> Errors:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    errors: Errors = []
    if service is None:
        if bundle:
            size = f"{len(bundle) * 3 // 4} bytes"
            errors.append(invalid("spec.caBundle", size, "local APIServices may not have a caBundle"))
        if insecure:
            why = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(invalid("spec.insecureSkipTLSVerify", insecure, why))
        return errors
    for name in ("namespace", "name"):
        errors += needed()(service.get(name), f"spec.service.{name}")
    port = service.get("port") or 0
    if port_number(port, ""):
        why = "port is not valid: must be between 1 and 65535, inclusive"
        errors.append(invalid("spec.service.port", port, why))
    if insecure and bundle:
        errors.append(invalid("spec.insecureSkipTLSVerify", insecure, "may not be true if caBundle is present"))
    return errors


def _validate_status(api_service: Obj, _: Obj | None) -> Errors:
    def status(condition: Obj, field: str) -> Errors:
        return of("True", "False", "Unknown")(condition.get("status") or "", f"{field}.status")

    return each(status)((api_service.get("status") or {}).get("conditions"), "status.conditions")


def _service(api_service: Obj) -> str:
    service = (api_service.get("spec") or {}).get("service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def _available(api_service: Obj) -> str:
    condition = meta.get_condition(api_service, "Available")
    if condition is None:
        return "Unknown"
    status = str(condition.get("status", ""))
    return status if status == "True" or not condition.get("reason") else f"{status} ({condition['reason']})"


HOOKS = tabled(
    Hooks(
        default=_default,
        prepare=_prepare,
        validate=_validate,
        validate_status=_validate_status,
        name_rule=path_segment,
    ),
    Cell("Service", _service),
    Cell("Available", _available),
    AGE,
)
