"""Definitions in the groups of the Kubernetes community carry the address of their approval.

https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/1111-api-approval
"""

from __future__ import annotations

from urllib.parse import urlsplit

from api import meta
from api.errors import invalid, required
from api.meta import Obj
from api.validation import Errors

ANNOTATION = "api-approved.kubernetes.io"
_SEE = "see https://github.com/kubernetes/enhancements/pull/1111"


def approval(definition: Obj) -> tuple[bool, str, str] | None:
    """(conformant, reason, message); None for a group that needs no approval."""
    group = definition["spec"].get("group") or ""
    if not f".{group}".endswith((".k8s.io", ".kubernetes.io")):
        return None
    text = meta.annotations(definition).get(ANNOTATION) or ""
    needed = f'protected groups must have approval annotation "{ANNOTATION}"'
    if not text:
        return False, "MissingAnnotation", f"{needed}, {_SEE}"
    if text.startswith("unapproved"):
        return False, "UnapprovedAPI", f'not approved: "{text}"'
    parts = urlsplit(text)
    if parts.scheme and parts.netloc:
        return True, "ApprovedAnnotation", f"approved in {text}"
    return False, "InvalidAnnotation", f'{needed} with either a URL or a reason starting with "unapproved", {_SEE}'


def validate_approval(new: Obj, old: Obj | None) -> Errors:
    """Only a change of what is said is judged."""
    said, before = approval(new), approval(old) if old else None
    if said is None or (before is not None and before[1] == said[1]):
        return []
    field = f"metadata.annotations[{ANNOTATION}]"
    if said[1] == "MissingAnnotation":
        return [required(field, said[2])]
    return [invalid(field, meta.annotations(new)[ANNOTATION], said[2])] if said[1] == "InvalidAnnotation" else []
