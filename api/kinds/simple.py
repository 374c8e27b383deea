"""ServiceAccount and Lease: columns and few rules.

Rules and wording follow k8s.io/kubernetes/pkg/apis/coordination/validation.
"""

from __future__ import annotations

from api.columns import AGE, Cell, at, count, tabled
from api.errors import forbidden_field
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


SERVICE_ACCOUNT = tabled(Hooks(), Cell("Secrets", count("secrets")), AGE)
LEASE = tabled(Hooks(validate=_validate_lease), Cell("Holder", at("spec", "holderIdentity")), AGE)
