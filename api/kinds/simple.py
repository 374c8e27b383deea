"""ServiceAccount, Lease, PodTemplate and ComponentStatus: columns and few rules.

Rules and wording follow k8s.io/kubernetes/pkg/apis/coordination/validation.
"""

from __future__ import annotations

from api import printing
from api.columns import AGE, Cell, at, count, tabled
from api.errors import forbidden_field
from api.kinds import pod_validation, workload
from api.meta import Obj
from api.registry import Hooks
from api.rules import NOT_NEGATIVE, Row, at_least, check, given, of
from api.validation import Errors, qualified_name


def _strategy(value: str, field: str) -> Errors:
    return qualified_name(value, field) if "/" in value else of("OldestEmulationVersion")(value, field)


_LEASE: tuple[Row, ...] = (
    ("leaseDurationSeconds", at_least(1, "must be greater than 0")),
    ("leaseTransitions", NOT_NEGATIVE),
    ("strategy", given(_strategy)),
)


def _validate_lease(lease: Obj, _: Obj | None) -> Errors:
    spec = lease.get("spec") or {}
    errors = check(spec, "spec", _LEASE)
    if spec.get("preferredHolder") and not spec.get("strategy"):
        errors.append(forbidden_field("spec.preferredHolder", "may only be specified if `strategy` is defined"))
    return errors


def _default_template(obj: Obj) -> None:
    if obj.get("template") is not None:
        workload.default_template(obj)


def _health(obj: Obj) -> Obj:
    """The condition that tells whether a component is healthy."""
    return next((c for c in obj.get("conditions") or () if c.get("type") == "Healthy"), {})


def _health_text(obj: Obj) -> str:
    return {"True": "Healthy", None: "Unknown"}.get(_health(obj).get("status"), "Unhealthy")


SERVICE_ACCOUNT = tabled(Hooks(), Cell("Secrets", count("secrets")), AGE)
LEASE = tabled(Hooks(validate=_validate_lease), Cell("Holder", at("spec", "holderIdentity")), AGE)
POD_TEMPLATE = tabled(
    Hooks(
        default=_default_template,
        validate=lambda obj, _: pod_validation.template(obj.get("template") or {}, "template"),
    ),
    Cell("Containers", lambda obj: workload.container_columns(obj.get("template"))[0]),
    Cell("Images", lambda obj: workload.container_columns(obj.get("template"))[1]),
    Cell("Pod Labels", lambda obj: printing.labels(((obj.get("template") or {}).get("metadata") or {}).get("labels"))),
)
COMPONENT_STATUS = tabled(
    Hooks(),
    Cell("Status", _health_text),
    Cell("Message", lambda obj: _health(obj).get("message", "")),
    Cell("Error", lambda obj: _health(obj).get("error", "")),
)
