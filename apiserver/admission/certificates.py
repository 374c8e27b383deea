"""CertificateSigningRequests: who asks is written down, what is asked can be read, and only those may approve or issue
who are granted that for the signer.

CertificateApproval, CertificateSigning and CertificateSubjectRestriction of
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/, and the strategy of
k8s.io/kubernetes/pkg/registry/certificates.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from api import meta
from api.builtin import CERTIFICATE_SIGNING_REQUESTS
from api.errors import FieldError, invalid, invalid_object
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.auth.authorizer import Authorizer
from apiserver.request import RequestInfo

_GROUP = CERTIFICATE_SIGNING_REQUESTS.group
_WHO = ("username", "uid", "groups", "extra")
_BEGIN, _REQUEST, _CERTIFICATE = b"-----BEGIN ", b"CERTIFICATE REQUEST-----", b"CERTIFICATE-----"


class CertificateRequests(Plugin):
    def __init__(self, authorizer: Authorizer, now: Callable[[], datetime]) -> None:
        self._authorizer = authorizer
        self._now = now

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res is CERTIFICATE_SIGNING_REQUESTS and verb in ("create", "update")

    async def mutate(self, attempt: Attempt) -> None:
        obj = attempt.new()
        if attempt.verb == "create":
            _sign_in(attempt, obj.setdefault("spec", {}))
        elif attempt.subresource:
            self._date(obj, attempt.old or {})

    def _date(self, obj: Obj, old: Obj) -> None:
        """The times that the client left out of conditions."""
        stamp = meta.rfc3339(self._now())
        before = (old.get("status") or {}).get("conditions") or []
        for condition in (obj.get("status") or {}).get("conditions") or []:
            same = [c for c in before if all(c.get(k) == condition.get(k) for k in ("type", "status"))]
            condition.setdefault("lastUpdateTime", stamp)
            condition.setdefault("lastTransitionTime", (same[0].get("lastTransitionTime") if same else None) or stamp)

    async def validate(self, attempt: Attempt) -> None:
        spec = attempt.new()["spec"]
        if attempt.verb == "create":
            request = _read_request(attempt, spec.get("request") or "")
            _restrict(attempt, spec.get("signerName"), request)
            return
        after, before = (((o or {}).get("status") or {}) for o in (attempt.obj, attempt.old))
        if attempt.subresource == "approval":
            self._granted(attempt, "approve", spec)
        elif attempt.subresource == "status":
            if after.get("certificate") != before.get("certificate"):
                _read_certificate(attempt, after.get("certificate") or "")
                self._granted(attempt, "sign", spec)
            elif _failed(after) != _failed(before):
                self._granted(attempt, "sign", spec)

    def _granted(self, attempt: Attempt, verb: str, spec: Obj) -> None:
        """The verb on `signers`, by the signer's name or for all of its domain."""
        signer = spec.get("signerName", "")
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            asked = RequestInfo("", verb, True, _GROUP, "*", "signers", name=name)
            if self._authorizer.allows(attempt.user, asked):
                return
        raise attempt.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')


def _sign_in(attempt: Attempt, spec: Obj) -> None:
    user = attempt.user
    who = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    for name in _WHO:
        spec.pop(name, None)
    spec.update({name: value for name, value in who.items() if value})


def _failed(status: Obj) -> bool:
    return any(c.get("type") == "Failed" for c in status.get("conditions") or [])


def _refuse(attempt: Attempt, error: FieldError) -> Exception:
    return invalid_object(_GROUP, attempt.res.kind, attempt.name, [error])


def _read_request(attempt: Attempt, text: str) -> x509.CertificateSigningRequest:
    """Invalid when it is no PEM request with a good signature."""
    why = "PEM block type must be CERTIFICATE REQUEST"
    try:
        data = base64.b64decode(text)
        if _BEGIN + _REQUEST in data:
            request = x509.load_pem_x509_csr(data)
            if request.is_signature_valid:
                return request
            why = "x509: signature verification failed"
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        why = f"x509: {error}"
    raise _refuse(attempt, invalid("spec.request", text, why))


def _read_certificate(attempt: Attempt, text: str) -> None:
    """Invalid when it is not one certificate or more in PEM, and nothing else."""
    why = ""
    try:
        data = base64.b64decode(text)
        kinds = [line.removeprefix(_BEGIN) for line in data.splitlines() if line.startswith(_BEGIN)]
        other = next((kind for kind in kinds if kind != _CERTIFICATE), None)
        if other is not None:
            found = json.dumps(other.removesuffix(b"-----").decode("utf-8", "replace"))
            why = f"only CERTIFICATE PEM blocks are allowed, found {found}"
        elif not kinds:
            why = "must contain at least one CERTIFICATE PEM block"
        else:
            x509.load_pem_x509_certificates(data)
    except ValueError as error:
        why = f"x509: {error}"
    if why:
        raise _refuse(attempt, invalid("status.certificate", "<certificate data>", why))


def _restrict(attempt: Attempt, signer: str | None, request: x509.CertificateSigningRequest) -> None:
    if signer != "kubernetes.io/kube-apiserver-client":
        return
    organizations = [a.value for a in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if "system:masters" in organizations:
        raise attempt.forbidden(f"use of {signer} signer with system:masters group is not allowed")
