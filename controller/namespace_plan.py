"""What a namespace on its way out says about itself, and how long to wait for its pods. Pure.

Wording: k8s.io/kubernetes/pkg/controller/namespace/deletion/status_condition_utils.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from api import meta
from api.meta import Obj
from controller import pod_state


@dataclass(slots=True)
class Remains:
    """What was left when we looked: counts by `plural.group` and by finalizer, and failures."""

    resources: dict[str, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    discovery: str = ""
    """Why it is not known what else may be there."""
    wait: float = 0.0

    def add(self, resource: str, objects: Iterable[Obj]) -> None:
        found = list(objects)
        if found:
            self.resources[resource] = len(found)
            self.finalizers.update(f for o in found for f in o["metadata"].get("finalizers") or [])

    @property
    def is_empty(self) -> bool:
        return not self.resources and not self.errors and not self.discovery


def grace_of(pods: Iterable[Obj], now: datetime) -> float:
    """Seconds after which the slowest of these pods should have ended; 0 when none is running."""
    longest = 0.0
    for pod in pods:
        if pod_state.is_terminal(pod):
            continue
        deadline = pod["metadata"].get("deletionTimestamp")
        if deadline:
            left = (meta.parse_time(deadline) - now).total_seconds()
            longest = max(longest, left, 1.0)
        else:
            longest = max(longest, float(pod_state.spec(pod).get("terminationGracePeriodSeconds") or 30))
    return longest


def _listed(counts: Mapping[str, int], form: str) -> str:
    return ", ".join(form.format(name=name, count=counts[name]) for name in sorted(counts))


def conditions(namespace: Obj, remains: Remains, now: datetime) -> list[Obj]:
    """The five conditions, True where something is in the way."""
    errors = ", ".join(remains.errors)
    resources = _listed(remains.resources, "{name} has {count} resource instances")
    finalizers = _listed(remains.finalizers, "{name} in {count} resource instances")
    rows = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered",
         "DiscoveryFailed", remains.discovery),
        ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
         "All legacy kube types successfully parsed", "", ""),
        ("NamespaceDeletionContentFailure", "ContentDeleted",
         "All content successfully deleted, may be waiting on finalization", "ContentDeletionFailed",
         f"Failed to delete all resource types, {len(remains.errors)} remaining: {errors}" if errors else ""),
        ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed",
         "SomeResourcesRemain", f"Some resources are remaining: {resources}" if resources else ""),
        ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers",
         "All content-preserving finalizers finished", "SomeFinalizersRemain",
         f"Some content in the namespace has finalizers remaining: {finalizers}" if finalizers else ""),
    ]  # fmt: skip
    result = [dict(c) for c in (namespace.get("status") or {}).get("conditions") or []]
    for type_, fine_reason, fine, bad_reason, bad in rows:
        condition = (
            {"type": type_, "status": "True", "reason": bad_reason, "message": bad} if bad
            else {"type": type_, "status": "False", "reason": fine_reason, "message": fine}
        )  # fmt: skip
        meta.set_condition(result, condition, now)
    return result
