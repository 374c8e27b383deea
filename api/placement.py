"""Whether a pod may be on a node, by what the two say of each other. Pure.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/,
https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.selectors import Requirement


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    match toleration.get("operator") or "Equal":
        case "Exists":
            return True
        case "Equal":
            same = (toleration.get("value") or "") == (taint.get("value") or "")
            return bool(toleration.get("key")) and same
    return False


def wants(spec: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """Whether a pod of that spec may be on a node of that name and labels: node selector and required affinity."""
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_matches(term, name, labels) for term in required.get("nodeSelectorTerms") or ())


def _matches(term: Mapping[str, Any], name: str, labels: Mapping[str, str]) -> bool:
    """All requirements of the term hold. With none it matches no node."""
    found = [
        (Requirement(e["key"], e["operator"], tuple(e.get("values") or ())), values)
        for kind, values in (("matchExpressions", labels), ("matchFields", {"metadata.name": name}))
        for e in term.get(kind) or ()
    ]
    return bool(found) and all(requirement.matches(values) for requirement, values in found)
