"""CertificateSigningRequest: what each of its three doors may change, validation, columns.

The object itself never changes once made; `approval` sets the conditions, `status` the certificate and the conditions
other than Approved and Denied. What stands in the request and in the certificate is for the API server to read
(apiserver/admission/certificates.py). Rules and wording follow k8s.io/kubernetes/pkg/apis/certificates/validation and
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/.
"""

from __future__ import annotations

import json
from typing import Any

from api import printing
from api.columns import AGE, Cell, at, tabled
from api.errors import duplicate, forbidden_field, invalid, required
from api.meta import Obj
from api.registry import Hooks, Validate
from api.rules import at_least, each, needed, needed_of, of
from api.validation import LABEL_TEXT, Errors, dns_label, dns_subdomain

_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
_FINAL = ("Approved", "Denied", "Failed")
_CONDITIONS, _CERTIFICATE = "status.conditions", "status.certificate"


def prepare(request: Obj, old: Obj | None) -> None:
    if old is not None:
        request["spec"] = old["spec"]


def prepare_approval(request: Obj, old: Obj | None) -> None:
    conditions = request["status"].get("conditions")
    request["status"] = {k: v for k, v in ((old or {}).get("status") or {}).items() if k != "conditions"}
    if conditions:
        request["status"]["conditions"] = conditions


# --- validation --------------------------------------------------------------------------------------------


def signer_name(value: str | None, field: str) -> Errors:
    """`domain/path`, such as `kubernetes.io/kube-apiserver-client`."""
    if not value:
        return [required(field)]
    if value.count("/") != 1:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(field, value, text)]
    domain, path = value.split("/")
    errors = _labels(domain, field, dns_label)
    if "." not in domain:
        errors.append(invalid(field, domain, "should be a domain with at least two segments separated by dots"))
    return errors + _labels(path, field, dns_subdomain)


def _labels(value: str, field: str, rule: Any) -> Errors:
    for label in value.split("."):
        if rule(label, field):
            why = rule(label, field)[0].message.partition(f"{json.dumps(label)}: ")[2] or LABEL_TEXT
            return [invalid(field, value, f"validating label {json.dumps(label)}: {why}")]
    return []


def _spec(spec: Obj) -> Errors:
    usages = spec.get("usages") or []
    errors = needed()(usages, "spec.usages") + each(of(*_USAGES))(usages, "spec.usages")
    errors += [duplicate(f"spec.usages[{i}]", usage) for i, usage in enumerate(usages) if usage in usages[:i]]
    if spec.get("signerName") == "kubernetes.io/legacy-unknown":
        why = "the legacy signerName is not allowed via this API version"
        errors.append(invalid("spec.signerName", spec["signerName"], why))
    else:
        errors += signer_name(spec.get("signerName"), "spec.signerName")
    why = "may not specify a duration less than 600 seconds (10 minutes)"
    return errors + at_least(600, why)(spec.get("expirationSeconds"), "spec.expirationSeconds")


def _conditions(conditions: list[Obj]) -> Errors:
    errors: Errors = []
    seen: list[str] = []
    for index, condition in enumerate(conditions):
        kind, field = condition.get("type") or "", f"{_CONDITIONS}[{index}]"
        errors += needed()(kind, f"{field}.type")
        allowed = ("True",) if kind in _FINAL else ("False", "True", "Unknown")
        errors += needed_of(*allowed)(condition.get("status"), f"{field}.status")
        if {"Approved": "Denied", "Denied": "Approved"}.get(kind) in seen:
            errors.append(invalid(_CONDITIONS, kind, "Approved and Denied conditions are mutually exclusive"))
        if kind in seen:
            errors.append(duplicate(f"{field}.type", kind))
        seen.append(kind)
    return errors


def _validate(*, may_approve: bool = False, may_issue: bool = False) -> Validate:
    def validate(request: Obj, old: Obj | None) -> Errors:
        if old is None:
            return _spec(request.get("spec") or {})
        after, before = request.get("status") or {}, old.get("status") or {}
        conditions = after.get("conditions") or []
        errors = _conditions(conditions)
        for kind in _FINAL:
            now, then = ([c for c in s if c.get("type") == kind] for s in (conditions, before.get("conditions") or []))
            may = may_approve or kind == "Failed"
            if len(now) < len(then):
                text = f'updates may not remove a condition of type "{kind}"'
            elif not may and len(now) > len(then):
                text = f'updates may not add a condition of type "{kind}"'
            elif not may and now != then:
                text = f'updates may not modify a condition of type "{kind}"'
            else:
                continue
            errors.append(forbidden_field(_CONDITIONS, text))
        certificate = after.get("certificate") or ""
        if certificate == (before.get("certificate") or ""):
            return errors
        if not may_issue:
            errors.append(forbidden_field(_CERTIFICATE, "updates may not set certificate content"))
        elif before.get("certificate"):
            errors.append(forbidden_field(_CERTIFICATE, "updates may not modify existing certificate content"))
        return errors

    return validate


# --- columns -----------------------------------------------------------------------------------------------


def _duration(request: Obj) -> str:
    seconds = at("spec", "expirationSeconds", absent=None)(request)
    return "<none>" if seconds is None else printing.age(seconds)


def _condition(request: Obj) -> str:
    status = request.get("status") or {}
    types = {c.get("type") for c in status.get("conditions") or []}
    text = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    return text + (",Failed" if "Failed" in types else "") + (",Issued" if status.get("certificate") else "")


HOOKS = tabled(
    Hooks(
        prepare=prepare,
        validate=_validate(),
        validate_status=_validate(may_issue=True),
        doors={"approval": (prepare_approval, _validate(may_approve=True))},
        name_rule=lambda _, __: [],
    ),
    AGE,
    Cell("SignerName", at("spec", "signerName")),
    Cell("Requestor", at("spec", "username")),
    Cell("RequestedDuration", _duration),
    Cell("Condition", _condition),
)
