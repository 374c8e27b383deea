"""Is a node alive, what do its conditions say when it is not, and what becomes of its pods' status. Pure.

A node is alive while its Lease or its status heartbeats change, by *our* clock: the node's own may be wrong.
Rules and wording: k8s.io/kubernetes/pkg/controller/nodelifecycle/node_lifecycle_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from api import meta
from api.meta import Obj
from controller import pod_state

NODE_LOST, NODE_NOT_READY = "NodeLost", "NodeNotReady"
_MONITORED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life: what it looked like, and when (monotonic seconds) we first saw it."""

    uid: str
    mark: tuple[str, ...]
    seen_at: float


def observe(last: Beat | None, node: Obj, lease: Obj | None, at: float) -> Beat:
    """`last` while nothing changed, else a new beat of the moment `at`."""
    heartbeats = [
        str(c.get("lastHeartbeatTime") or "") for c in (node.get("status") or {}).get("conditions") or []
        if c.get("reason") != "NodeStatusNeverUpdated"  # that one is ours
    ]  # fmt: skip
    renewed = str(((lease or {}).get("spec") or {}).get("renewTime") or "")
    mark = (renewed, max(heartbeats, default=""))
    if last is not None and last.uid == meta.uid(node) and (mark == last.mark or not any(mark)):
        return last
    return Beat(meta.uid(node), mark, at)


def is_silent(beat: Beat, at: float, grace: float) -> bool:
    return at > beat.seen_at + grace


def ready_status(node: Obj) -> str:
    """`True`, `False` or `Unknown` as the node's Ready condition says; "" when it was never posted."""
    condition = meta.get_condition(node, "Ready")
    return str(condition["status"]) if condition else ""


def silent_conditions(node: Obj, now: datetime) -> list[Obj] | None:
    """The conditions of a node that fell silent: all Unknown. None when they say so already."""
    old = (node.get("status") or {}).get("conditions") or []
    conditions = [dict(c) for c in old]
    by_type = {c["type"]: c for c in conditions}
    stamp = meta.rfc3339(now)
    changed = False
    for type_ in _MONITORED:
        condition = by_type.get(type_)
        if condition is None:
            created = node["metadata"].get("creationTimestamp") or stamp
            conditions.append({
                "type": type_, "status": "Unknown", "reason": "NodeStatusNeverUpdated",
                "message": "Kubelet never posted node status.",
                "lastHeartbeatTime": created, "lastTransitionTime": stamp,
            })  # fmt: skip
            changed = True
        elif condition.get("status") != "Unknown":
            condition |= {
                "status": "Unknown", "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.", "lastTransitionTime": stamp,
            }  # fmt: skip
            changed = True
    return conditions if changed else None


def lost_status(pod: Obj, now: datetime) -> Obj | None:
    """The status patch for a pod whose node is cut off; None when it says so already or has ended."""
    status = pod_state.status(pod)
    if pod_state.is_terminal(pod):
        return None
    if status.get("phase") == "Unknown" and status.get("reason") == NODE_LOST and not pod_state.is_ready(pod):
        return None
    message = f"Node {pod_state.node_name(pod)} which was running pod {meta.name(pod)} is unresponsive"
    patch = not_ready_status(pod, now) or {}
    return {**patch, "phase": "Unknown", "reason": NODE_LOST, "message": message}


def not_ready_status(pod: Obj, now: datetime) -> Obj | None:
    """The status patch that takes a pod out of service because its node is not ready."""
    if not pod_state.is_ready(pod):
        return None
    condition = dict(meta.get_condition(pod, "Ready") or {}) | {"status": "False", "reason": NODE_NOT_READY}
    condition.pop("lastTransitionTime", None)
    return {"conditions": pod_state.copy_with_condition(pod, condition, now)}


def is_marked(pod: Obj) -> bool:
    """Whether `lost_status` or `not_ready_status` stands in its status still."""
    ready = meta.get_condition(pod, "Ready") or {}
    return pod_state.status(pod).get("reason") == NODE_LOST or ready.get("reason") == NODE_NOT_READY


def found_status(pod: Obj, now: datetime, *, node_is_ready: bool) -> Obj | None:
    """The status patch that takes our marks back, from what the containers were last known to do. Ready
    returns only with a node that is ready."""
    patch: Obj = {}
    if pod_state.status(pod).get("reason") == NODE_LOST:
        patch = {"phase": pod_state.phase_of_containers(pod), "reason": None, "message": None}
    ready = meta.get_condition(pod, "Ready") or {}
    if node_is_ready and ready.get("reason") == NODE_NOT_READY:
        gates = [g["conditionType"] for g in pod_state.spec(pod).get("readinessGates") or []]
        fit = all(meta.is_condition_true(pod, type_) for type_ in ("ContainersReady", *gates))
        condition = {"type": "Ready", "status": "True" if fit else "False"}
        patch["conditions"] = pod_state.copy_with_condition(pod, condition, now)
    return patch or None


def after_standstill(beats: Mapping[str, Beat], seconds: float) -> dict[str, Beat]:
    """Beats as if the `seconds` in which we did not look had not passed: that nodes were silent meanwhile
    says nothing about them."""
    return {name: replace(beat, seen_at=beat.seen_at + seconds) for name, beat in beats.items()}
