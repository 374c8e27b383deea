"""What a pod's status says, as the control loops need it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api import meta
from api.meta import Obj

Pod = Mapping[str, Any]


def status(pod: Pod) -> Mapping[str, Any]:
    return pod.get("status") or {}


def spec(pod: Pod) -> Mapping[str, Any]:
    return pod.get("spec") or {}


def phase(pod: Pod) -> str:
    return str(status(pod).get("phase") or "Pending")


def node_name(pod: Pod) -> str:
    return str(spec(pod).get("nodeName") or "")


def is_terminal(pod: Pod) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Pod) -> bool:
    """Counts towards a replica count: neither finished nor on its way out."""
    return not is_terminal(pod) and not meta.is_deleting(pod)


def is_ready(pod: Pod) -> bool:
    return meta.is_condition_true(pod, "Ready")


def ready_since(pod: Pod) -> datetime | None:
    """When the pod became Ready; None when it is not."""
    condition = meta.get_condition(pod, "Ready")
    if condition is None or condition.get("status") != "True" or not condition.get("lastTransitionTime"):
        return None
    return meta.parse_time(condition["lastTransitionTime"])


def available_at(pod: Pod, min_ready_seconds: int) -> datetime | None:
    """The moment from which a ready pod counts as available; None for a pod that is not ready."""
    since = ready_since(pod)
    return None if since is None else since + timedelta(seconds=min_ready_seconds)


def is_available(pod: Pod, min_ready_seconds: int, now: datetime) -> bool:
    if not is_ready(pod):
        return False
    at = available_at(pod, min_ready_seconds)
    return min_ready_seconds == 0 or (at is not None and at <= now)


def restarts(pod: Pod) -> int:
    """The largest restart count among the containers."""
    return max((int(c.get("restartCount") or 0) for c in status(pod).get("containerStatuses") or []), default=0)


def phase_of_containers(pod: Pod) -> str:
    """The phase that the container statuses alone imply: what a kubelet would have written."""
    restart = spec(pod).get("restartPolicy") or "Always"
    expected = [c["name"] for c in spec(pod).get("containers") or []]
    states = {c["name"]: c.get("state") or {} for c in status(pod).get("containerStatuses") or []}
    if any(not (states.get(name) or {}).keys() & {"running", "terminated"} for name in expected):
        restarted = any(int(c.get("restartCount") or 0) for c in status(pod).get("containerStatuses") or [])
        return "Running" if restarted else "Pending"
    if any("running" in states[name] for name in expected) or restart == "Always":
        return "Running"
    failed = any(int(states[name]["terminated"].get("exitCode") or 0) for name in expected)
    if failed and restart == "OnFailure":
        return "Running"
    return "Failed" if failed else "Succeeded"


def copy_with_condition(pod: Pod, condition: Obj, now: datetime) -> list[Obj]:
    """The pod's conditions with `condition` set, as a new list."""
    conditions = [dict(c) for c in status(pod).get("conditions") or []]
    meta.set_condition(conditions, condition, now)
    return conditions
