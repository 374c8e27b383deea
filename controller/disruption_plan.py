"""How many pods of a disruption budget may be disrupted now. Pure.

Rules: k8s.io/kubernetes/pkg/controller/disruption/disruption.go;
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from api import meta
from api.meta import Obj
from controller import amounts, pod_state

DELETION_TIMEOUT = timedelta(minutes=2)  # an evicted pod that is still there after this was not evicted
STALE_CONDITION = timedelta(minutes=2)


@dataclass(slots=True)
class Expected:
    pods: int = 0
    healthy: int = 0
    unmanaged: list[str] = field(default_factory=list)


def needs_scale(budget: Obj) -> bool:
    """Whether the budget counts in terms of what the pods' controllers want; otherwise the pods there are count."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def expected(budget: Obj, pods: list[Obj], scales: Mapping[str, int]) -> Expected:
    """`scales` gives the replicas of each controller of `pods`, by UID, when the budget needs them."""
    spec = budget["spec"]
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if not needs_scale(budget):
        return Expected(len(pods) if least is not None else 0, least or 0)
    total = sum(scales.values())
    unmanaged = [meta.name(pod) for pod in pods if meta.controller_of(pod) is None]
    if most is not None:
        return Expected(total, max(total - amounts.resolve(most, total, round_up=True), 0), unmanaged)
    return Expected(total, amounts.resolve(least, total, round_up=True), unmanaged)


def still_disrupted(budget: Obj, pods: Iterable[Obj], now: datetime) -> tuple[dict[str, str], float | None]:
    """(the evicted pods whose deletion is yet to be seen, seconds until the first of them is given up)."""
    noted = (budget.get("status") or {}).get("disruptedPods") or {}
    kept: dict[str, str] = {}
    ends = []
    for pod in pods:
        at = noted.get(meta.name(pod))
        if at is None or meta.is_deleting(pod):
            continue
        end = meta.parse_time(at) + DELETION_TIMEOUT
        if end >= now:
            kept[meta.name(pod)] = at
            ends.append((end - now).total_seconds())
    return kept, min(ends, default=None)


def status(budget: Obj, pods: Iterable[Obj], wanted: Expected, disrupted: Mapping[str, str], now: datetime) -> Obj:
    healthy = sum(
        1 for pod in pods if not meta.is_deleting(pod) and meta.name(pod) not in disrupted and pod_state.is_ready(pod)
    )
    # A budget that expects nothing allows nothing: its first pods may appear before it is looked at again.
    allowed = max(healthy - wanted.healthy, 0) if wanted.pods > 0 else 0
    result: Obj = {
        "currentHealthy": healthy,
        "desiredHealthy": wanted.healthy,
        "disruptionsAllowed": allowed,
        "expectedPods": wanted.pods,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }
    if disrupted:
        result["disruptedPods"] = dict(disrupted)
    reason = "SufficientPods" if allowed else "InsufficientPods"
    return _with_condition(budget, result, reason, "", now)


def failed(budget: Obj, why: str, now: datetime) -> Obj:
    """When nothing is known nothing is allowed."""
    before = budget.get("status") or {}
    return _with_condition(budget, {**before, "disruptionsAllowed": 0}, "SyncFailed", why, now)


def _with_condition(budget: Obj, result: Obj, reason: str, message: str, now: datetime) -> Obj:
    conditions = [dict(c) for c in (budget.get("status") or {}).get("conditions") or ()]
    condition = {
        "type": "DisruptionAllowed", "status": "True" if reason == "SufficientPods" else "False", "reason": reason,
        "message": message, "observedGeneration": result.get("observedGeneration", 0),
    }  # fmt: skip
    meta.set_condition(conditions, condition, now)
    return {**result, "conditions": conditions}


def stale_condition_in(pod: Obj, now: datetime) -> float | None:
    """Seconds until the pod's DisruptionTarget condition has turned out to be wrong; None without one."""
    condition = meta.get_condition(pod, "DisruptionTarget")
    if condition is None or condition.get("status") != "True" or not condition.get("lastTransitionTime"):
        return None
    if meta.is_deleting(pod) or pod_state.is_terminal(pod):
        return None
    end = meta.parse_time(condition["lastTransitionTime"]) + STALE_CONDITION
    return max((end - now).total_seconds(), 0.0)
