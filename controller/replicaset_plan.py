"""How many pods a replica set makes or deletes, which ones, and what its status says. Pure.

Rules: k8s.io/kubernetes/pkg/controller/{replicaset,controller_utils.go}.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from api import meta
from api.meta import Obj
from controller import pod_state

BURST = 500  # pods made or deleted in one round
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def desired(rs: Obj) -> int:
    replicas = rs["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def difference(rs: Obj, active: Sequence[Obj]) -> int:
    """Pods to make (positive) or to delete (negative), at most BURST."""
    return max(-BURST, min(BURST, desired(rs) - len(active)))


def batches(count: int, initial: int = 1) -> Iterator[int]:
    """1, 2, 4 … adding up to `count`: a wrong template fails one request, not five hundred."""
    size = min(initial, count)
    while size > 0:
        yield size
        count -= size
        size = min(2 * size, count)


def pod_from(rs: Obj) -> Obj:
    """A new pod of the template, named by the server, controlled by `rs`."""
    template = rs["spec"]["template"]
    metadata = template.get("metadata") or {}
    pod: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{meta.name(rs)}-",
            "namespace": meta.namespace(rs),
            "labels": dict(metadata.get("labels") or {}),
            "ownerReferences": [meta.controller_reference(rs, "apps/v1", "ReplicaSet")],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
    for field in ("annotations", "finalizers"):
        if metadata.get(field):
            pod["metadata"][field] = copy.deepcopy(metadata[field])
    return pod


def victims(active: Sequence[Obj], related: Iterable[Obj], count: int, now: datetime) -> list[Obj]:
    """The `count` pods whose loss costs least. `related` are the pods of all replica sets of the same owner."""
    if count >= len(active):
        return list(active)
    crowd = Counter(pod_state.node_name(p) for p in related if pod_state.is_active(p))
    return sorted(active, key=lambda pod: _worth(pod, crowd[pod_state.node_name(pod)], now))[:count]


def _worth(pod: Obj, neighbours: int, now: datetime) -> tuple[Any, ...]:
    """Lower is deleted first. Ages compare by order of magnitude, so that deletions spread among peers."""
    ready_for = _magnitude(pod_state.ready_since(pod), now)
    created = pod["metadata"].get("creationTimestamp")
    return (
        bool(pod_state.node_name(pod)),
        _PHASES.get(pod_state.phase(pod), 0),
        pod_state.is_ready(pod),
        _deletion_cost(pod),
        -neighbours,
        ready_for,
        -pod_state.restarts(pod),
        _magnitude(meta.parse_time(created) if created else None, now),
        meta.uid(pod),
    )


def _magnitude(since: datetime | None, now: datetime) -> int:
    """The age as a power of two of seconds; -1 for the present and the unknown."""
    seconds = (now - (since or now)).total_seconds()
    return math.floor(math.log2(seconds)) if seconds >= 1 else -1


def _deletion_cost(pod: Obj) -> int:
    try:
        return int(meta.annotations(pod).get(DELETION_COST, "0"))
    except ValueError:
        return 0


def status(rs: Obj, active: Sequence[Obj], terminating: int, failure: tuple[str, str] | None, now: datetime) -> Obj:
    """The whole status. `failure` is (reason, message) when this round could not make or delete its pods."""
    min_ready = int(rs["spec"].get("minReadySeconds") or 0)
    wanted = ((rs["spec"]["template"].get("metadata") or {}).get("labels") or {}).items()
    numbers = {
        "fullyLabeledReplicas": sum(1 for p in active if wanted <= meta.labels(p).items()),
        "readyReplicas": sum(1 for p in active if pod_state.is_ready(p)),
        "availableReplicas": sum(1 for p in active if pod_state.is_available(p, min_ready, now)),
    }
    new: Obj = {"replicas": len(active)}
    new |= {field: number for field, number in numbers.items() if number}
    new["terminatingReplicas"] = terminating
    new["observedGeneration"] = int(rs["metadata"].get("generation") or 0)
    conditions = [dict(c) for c in (rs.get("status") or {}).get("conditions") or []]
    if failure is None:
        conditions = [c for c in conditions if c["type"] != "ReplicaFailure"]
    elif not any(c["type"] == "ReplicaFailure" for c in conditions):
        reason, message = failure
        condition = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": message}
        meta.set_condition(conditions, condition, now)
    if conditions:
        new["conditions"] = conditions
    return new


def next_available_in(rs: Obj, active: Sequence[Obj], now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available through minReadySeconds alone."""
    min_ready = int(rs["spec"].get("minReadySeconds") or 0)
    moments = (pod_state.available_at(pod, min_ready) for pod in active)
    waits = [(at - now).total_seconds() for at in moments if at is not None and at > now]
    return min(waits) + 0.1 if waits else None
