"""CertificateSigningRequest: defaults, validation, columns."""

from __future__ import annotations

from api import printing
from api.columns import AGE, Cell, at, tabled
from api.meta import Obj
from api.registry import Hooks


def _duration(request: Obj) -> str:
    seconds = request["spec"].get("expirationSeconds")
    return "<none>" if seconds is None else printing.age(seconds)


def _condition(request: Obj) -> str:
    status = request.get("status") or {}
    types = {c.get("type") for c in status.get("conditions") or []}
    text = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    return text + (",Failed" if "Failed" in types else "") + (",Issued" if status.get("certificate") else "")


HOOKS = tabled(
    Hooks(),
    AGE,
    Cell("SignerName", at("spec", "signerName")),
    Cell("Requestor", at("spec", "username")),
    Cell("RequestedDuration", _duration),
    Cell("Condition", _condition),
)
