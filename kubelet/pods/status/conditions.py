"""A pod's conditions, as far as the node speaks of them. Rules: pkg/kubelet/status/generate.go, KEP-3085, KEP-5067.

Conditions of other writers are theirs: they are kept as they are stored. One is shared: DisruptionTarget, which the
node sets when it ends the pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from api.meta import Obj, get_condition, rfc3339
from kubelet.pods.model import Ending, PodContainers, is_sidecar, spec_init_containers
from kubelet.pods.resize_plan import IN_PROGRESS, PENDING

OWNED_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
_OWNED = (*OWNED_CONDITIONS, PENDING, IN_PROGRESS)
_DISRUPTION = "DisruptionTarget"


def conditions(
    pod: Mapping[str, Any],
    status: Mapping[str, Any],
    observed: PodContainers,
    ending: Ending | None,
    resize: Iterable[Obj],
    now: datetime,
) -> list[Obj]:
    old: Mapping[str, Any] = pod.get("status") or {}
    made = [_ready_to_start(observed, status), _initialized(pod, status), *_readiness(pod, status, old), *resize]
    made.append({"type": "PodScheduled", "status": "True"})
    if ending is not None and ending.condition is not None and status["phase"] == "Failed":
        made.append(ending.condition)
    stamped = [_stamped(new, old, pod["metadata"].get("generation"), now) for new in made]
    return merged(stamped, old.get("conditions") or [])


def merged(ours: Iterable[Obj], stored: Iterable[Obj]) -> list[Obj]:
    """Ours, then what others have said. The first word of a disruption stays."""
    theirs = [c for c in stored if c["type"] not in _OWNED]
    disrupted = any(c["type"] == _DISRUPTION and c.get("status") == "True" for c in theirs)
    mine = [c for c in ours if c["type"] in _OWNED or (c["type"] == _DISRUPTION and not disrupted)]
    types = {c["type"] for c in mine}
    return mine + [c for c in theirs if c["type"] not in types]


def _stamped(new: Mapping[str, Any], old: Mapping[str, Any], generation: int | None, now: datetime) -> Obj:
    before = get_condition({"status": old}, new["type"])
    moved = before is None or before.get("status") != new["status"]
    stamp = rfc3339(now) if moved or before is None else before.get("lastTransitionTime")
    full: Obj = {"type": new["type"], "status": new["status"], "lastProbeTime": None}
    full["lastTransitionTime"] = stamp or rfc3339(now)
    generation = new.get("observedGeneration", generation)
    if generation is not None:
        full["observedGeneration"] = generation
    full.update({k: new[k] for k in ("reason", "message") if new.get(k)})
    return full


def _ready_to_start(observed: PodContainers, status: Mapping[str, Any]) -> Obj:
    ready = observed.live_sandbox is not None and bool(status.get("podIP"))
    return {"type": "PodReadyToStartContainers", "status": "True" if ready else "False"}


def _initialized(pod: Mapping[str, Any], status: Mapping[str, Any]) -> Obj:
    if status["phase"] == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    begun = any(
        c["state"].get("running") or c["state"].get("terminated") or c["lastState"].get("terminated")
        for c in status["containerStatuses"]
    )
    inits = {c["name"]: c for c in spec_init_containers(pod)}
    incomplete = [
        told["name"]
        for told in status.get("initContainerStatuses") or []
        if not (told["started"] if is_sidecar(inits[told["name"]]) else told["ready"])
    ]
    if incomplete and not begun:
        return {
            "type": "Initialized",
            "status": "False",
            "reason": "ContainersNotInitialized",
            "message": f"containers with incomplete status: [{' '.join(incomplete)}]",
        }
    return {"type": "Initialized", "status": "True"}


_OVER = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}


def _readiness(pod: Mapping[str, Any], status: Mapping[str, Any], old: Mapping[str, Any]) -> list[Obj]:
    """Ready and ContainersReady."""
    sidecars = {c["name"] for c in spec_init_containers(pod) if is_sidecar(c)}
    told = [
        *(c for c in status.get("initContainerStatuses") or [] if c["name"] in sidecars),
        *status["containerStatuses"],
    ]
    unready = [c["name"] for c in told if not c["ready"]]
    containers: Obj = {"type": "ContainersReady", "status": "True"}
    if status["phase"] in _OVER:
        containers |= {"status": "False", "reason": _OVER[status["phase"]]}
    elif unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        containers |= {"status": "False", "reason": "ContainersNotReady", "message": message}
    ready = {**containers, "type": "Ready"}
    missing = _closed_gates(pod, old)
    if containers["status"] == "True" and missing:
        ready |= {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(missing)}
    return [ready, containers]


def _closed_gates(pod: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    missing = []
    for gate in pod["spec"].get("readinessGates") or []:
        type_ = gate["conditionType"]
        condition = get_condition({"status": old}, type_)
        if condition is None:
            missing.append(f'corresponding condition of pod readiness gate "{type_}" does not exist.')
        elif condition.get("status") != "True":
            told = condition.get("status")
            missing.append(f'the status of pod readiness gate "{type_}" is not "True", but {told}')
    return missing
