"""A pod's status from what runs, as a pure function.

    build(pod, observed, memory, plan, host_ip, now) -> the status object to store

A pod that the node ends stays in its phase until its last container has ended: then it is Failed, with the reason.
Fields this kubelet knows nothing of are kept from the old status. Rules: kubelet_pods.go generateAPIPodStatus,
status_manager.go mergePodStatus.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.meta import Obj, is_deleting, rfc3339
from kubelet.pods.model import PodContainers, is_terminal, spec_containers
from kubelet.pods.qos import qos_class
from kubelet.pods.status.conditions import conditions
from kubelet.pods.status.containers import container_statuses
from kubelet.pods.status.lost import settled
from kubelet.pods.status.phase import phase
from kubelet.pods.sync.plan import Memory, Plan


def build(
    pod: Mapping[str, Any],
    observed: PodContainers,
    memory: Memory,
    plan: Plan,
    host_ip: str,
    now: datetime,
) -> Obj:
    old: Obj = pod.get("status") or {}
    status: Obj = {k: v for k, v in old.items() if k not in _REBUILT}
    status["startTime"] = old.get("startTime") or rfc3339(now)
    status["hostIP"], status["hostIPs"] = host_ip, [{"ip": host_ip}]
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    if pod["metadata"].get("generation") is not None:
        status["observedGeneration"] = pod["metadata"]["generation"]
    ips = _pod_ips(pod, observed, old, host_ip)
    if ips:
        status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    ending = memory.ending or plan.ending
    refused = ending is not None and not observed.everything() and not old.get("containerStatuses")
    status.update({"containerStatuses": []} if refused else container_statuses(pod, observed, memory, plan))
    if not observed.running() and (ending is not None or is_deleting(pod) or is_terminal(pod)):
        status.update(settled(pod, status))
    dead = not observed.running()
    if is_terminal(pod):
        status["phase"] = old["phase"]
    else:
        # Whatever another writer said of a pod it had lost sight of no longer holds.
        status.pop("reason", None)
        status.pop("message", None)
        if ending is not None and dead:
            status["phase"], status["reason"], status["message"] = "Failed", ending.reason, ending.message
        else:
            renewing = {c["name"] for c in spec_containers(pod) if memory.renews(observed.latest(c["name"]))}
            status["phase"] = phase(pod, status, renewing, over=dead and is_deleting(pod))
    resize = [] if status["phase"] in ("Succeeded", "Failed") else memory.resize.conditions()
    status["conditions"] = conditions(pod, status, observed, ending, resize, now)
    return status


_REBUILT = (
    "phase", "conditions", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "podIP",
    "podIPs", "hostIP", "hostIPs", "startTime", "qosClass", "observedGeneration",
)  # fmt: skip


def _pod_ips(pod: Mapping[str, Any], observed: PodContainers, old: Mapping[str, Any], host_ip: str) -> list[str]:
    if pod["spec"].get("hostNetwork"):
        return [host_ip] if observed.sandboxes or old.get("podIP") else []
    sandbox = observed.live_sandbox
    if sandbox is not None:
        return list(sandbox.ips)
    # Between two sandboxes, and after the end: the last known address stays.
    return [entry["ip"] for entry in old.get("podIPs") or []]


def same(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Nothing worth a write has changed. Absent, None and empty are the same."""
    return bool(_normal(new) == _normal(old))


def _normal(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = ((k, _normal(v)) for k, v in value.items())
        return {k: v for k, v in kept if v not in (None, {}, [], "")}
    if isinstance(value, list):
        return [_normal(v) for v in value]
    return value
