"""A pod's status from what runs, as a pure function.

    build(pod, observed, memory, plan, host_ip, now) -> the status object to store

Rules: kubelet_pods.go generateAPIPodStatus, getPhase, convertStatusToAPIStatus; status/generate.go for the
conditions. Conditions of other writers and fields this kubelet knows nothing of are kept from the old status.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.meta import Obj, get_condition, is_deleting, rfc3339
from kubelet.pods.model import (
    Container,
    PodContainers,
    is_sidecar,
    is_terminal,
    restart_policy,
    spec_containers,
    spec_ephemeral_containers,
    spec_init_containers,
)
from kubelet.pods.qos import qos_class
from kubelet.pods.sync import Memory, Plan

OWNED_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")


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
    inits = spec_init_containers(pod)
    status["startTime"] = old.get("startTime") or rfc3339(now)
    status["hostIP"], status["hostIPs"] = host_ip, [{"ip": host_ip}]
    status["qosClass"] = old.get("qosClass") or qos_class(pod)
    if pod["metadata"].get("generation") is not None:
        status["observedGeneration"] = pod["metadata"]["generation"]
    ips = _pod_ips(pod, observed, old, host_ip)
    if ips:
        status["podIP"], status["podIPs"] = ips[0], [{"ip": ip} for ip in ips]
    waiting = "PodInitializing" if inits else "ContainerCreating"
    status["containerStatuses"] = [
        _container_status(c, pod, observed, memory, plan, old, "containerStatuses", waiting)
        for c in spec_containers(pod)
    ]
    if inits:
        first = next((c["name"] for c in inits), "")
        status["initContainerStatuses"] = [
            _container_status(
                c, pod, observed, memory, plan, old, "initContainerStatuses",
                "ContainerCreating" if c["name"] == first else "PodInitializing",
            )
            for c in inits
        ]  # fmt: skip
    ephemeral = spec_ephemeral_containers(pod)
    if ephemeral:
        status["ephemeralContainerStatuses"] = [
            _container_status(c, pod, observed, memory, plan, old, "ephemeralContainerStatuses", "ContainerCreating")
            for c in ephemeral
        ]
    if not is_terminal(pod):
        # Whatever another writer said of a pod it had lost sight of no longer holds.
        status.pop("reason", None)
        status.pop("message", None)
    status["phase"] = phase(pod, status, old, plan, observed)
    if plan.reason:
        status["reason"], status["message"] = plan.reason, plan.message
    status["conditions"] = _conditions(pod, status, old, observed, ips, now)
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


def container_id(container: Container) -> str:
    return f"docker://{container.id}"


def terminated(container: Container) -> Obj:
    """The terminated state of an exited container."""
    if container.start_failed:
        reason = "ContainerCannotRun"
    elif container.oom_killed:
        reason = "OOMKilled"
    else:
        reason = "Completed" if container.exit_code == 0 else "Error"
    state: Obj = {"exitCode": container.exit_code, "reason": reason, "containerID": container_id(container)}
    for key, moment in (("startedAt", container.started_at), ("finishedAt", container.finished_at)):
        state[key] = rfc3339(moment) if moment is not None else None
    message = container.error if container.start_failed else container.message
    if message:
        state["message"] = message
    return state


def _container_status(
    spec: Mapping[str, Any],
    pod: Mapping[str, Any],
    observed: PodContainers,
    memory: Memory,
    plan: Plan,
    old_status: Mapping[str, Any],
    field_name: str,
    waiting: str,
) -> Obj:
    name = spec["name"]
    old: Obj = next((c for c in old_status.get(field_name) or [] if c["name"] == name), {})
    latest, previous = observed.latest(name), observed.previous(name)
    if latest is not None and latest.state == "created":
        latest, previous = previous, None
    init = field_name == "initContainerStatuses"
    result: Obj = {
        "name": name,
        "ready": False,
        "restartCount": int(old.get("restartCount") or 0),
        "image": spec.get("image", ""),
        "imageID": old.get("imageID", ""),
        "state": {"waiting": {"reason": waiting}},
        "lastState": old.get("lastState") or {},
        "started": False,
    }
    if old.get("containerID"):
        result["containerID"] = old["containerID"]
    if latest is None:
        _fill_vanished(result, old, pod, waiting)
    else:
        result["restartCount"] = max(latest.attempt, result["restartCount"] if not latest.running else 0)
        result["containerID"] = container_id(latest)
        result["imageID"] = latest.image_id
        if latest.running:
            _fill_running(result, latest, memory, init and not is_sidecar(spec))
        else:
            result["state"] = {"terminated": terminated(latest)}
            result["ready"] = init and not is_sidecar(spec) and latest.exit_code == 0
        if previous is not None and previous.exited:
            result["lastState"] = {"terminated": terminated(previous)}
    if (result["lastState"].get("terminated") or {}).get("containerID") == result.get("containerID"):
        result["lastState"] = {}
    if not result["state"].get("running"):
        _fill_held_back(result, name, memory, plan, pod)
    if field_name == "ephemeralContainerStatuses":  # nobody asks whether they are ready
        result["ready"] = False
        del result["started"]
    return result


def _fill_running(result: Obj, latest: Container, memory: Memory, plain_init: bool) -> None:
    started = rfc3339(latest.started_at) if latest.started_at else None
    result["state"] = {"running": {"startedAt": started}}
    probes = memory.probes.get(latest.id)
    result["started"] = probes is None or (probes.started and not probes.hook_running)
    result["ready"] = not plain_init and result["started"] and (probes is None or probes.ready)


def _fill_vanished(result: Obj, old: Mapping[str, Any], pod: Mapping[str, Any], waiting: str) -> None:
    """Docker has no container of this name: never made yet, or removed behind our back."""
    state: Obj = old.get("state") or {}
    if state.get("terminated"):
        result["state"] = state
        result["ready"] = bool(old.get("ready"))
    elif "running" in state:
        lost = {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated"
            if is_deleting(pod)
            else "The container could not be located when the pod was deleted. The container used to be Running",
            "startedAt": None,
            "finishedAt": None,
        }
        if is_deleting(pod) or is_terminal(pod) or restart_policy(pod) == "Never":
            result["state"] = {"terminated": lost}
        else:
            result["lastState"] = {"terminated": lost}


def _fill_held_back(result: Obj, name: str, memory: Memory, plan: Plan, pod: Mapping[str, Any]) -> None:
    """Why the container does not run, when it should: back-off or a failed try."""
    if is_deleting(pod) or is_terminal(pod) or plan.phase:
        return
    failure = memory.failures.get(name)
    if name in plan.waiting:
        held: Obj = {"reason": "CrashLoopBackOff", "message": plan.waiting[name]}
    elif failure is not None:
        held = {"reason": failure.reason, "message": failure.message}
    else:
        return
    if result["state"].get("terminated"):
        result["lastState"] = {"terminated": result["state"]["terminated"]}
    result["state"] = {"waiting": held}
    result["ready"] = False


def phase(
    pod: Mapping[str, Any],
    status: Mapping[str, Any],
    old: Mapping[str, Any],
    plan: Plan,
    observed: PodContainers,
) -> str:
    """Upstream's getPhase; a terminal phase is never left."""
    if is_terminal(pod):
        return str(old["phase"])
    if plan.phase:
        return plan.phase
    policy = restart_policy(pod)
    inits = {c["name"]: c for c in spec_init_containers(pod)}
    pending_init = failed_init = 0
    for told in status.get("initContainerStatuses") or []:
        if is_sidecar(inits[told["name"]]):
            pending_init += not told["started"]
            continue
        ended = told["state"].get("terminated")
        last = told["lastState"].get("terminated")
        if ended is not None:
            failed_init += ended["exitCode"] != 0
        elif "waiting" in told["state"] and last is not None and last["exitCode"] != 0:
            failed_init += 1
        else:
            pending_init += 1
    running = waiting = stopped = succeeded = 0
    for told in status["containerStatuses"]:
        ended = told["state"].get("terminated")
        if "running" in told["state"]:
            running += 1
        elif ended is not None:
            stopped += 1
            succeeded += ended["exitCode"] == 0
        elif told["lastState"].get("terminated"):
            stopped += 1
        else:
            waiting += 1
    deleting_and_dead = is_deleting(pod) and not observed.running()
    if failed_init and policy == "Never":
        return "Failed"
    begun = running + stopped > 0
    if (pending_init or failed_init) and not begun and not deleting_and_dead:
        return "Pending"
    if waiting and not deleting_and_dead:
        return "Pending"
    if running:
        return "Running"
    if stopped:
        if deleting_and_dead:
            return "Succeeded" if stopped == succeeded and not waiting else "Failed"
        if policy == "Always":
            return "Running"
        if stopped == succeeded:
            return "Succeeded"
        return "Failed" if policy == "Never" else "Running"
    return "Failed" if deleting_and_dead else "Pending"


def _conditions(
    pod: Mapping[str, Any],
    status: Mapping[str, Any],
    old: Mapping[str, Any],
    observed: PodContainers,
    ips: list[str],
    now: datetime,
) -> list[Obj]:
    generation = pod["metadata"].get("generation")
    made = [
        _ready_to_start(pod, observed, ips),
        _initialized(pod, status),
        *_readiness(pod, status, old),
    ]
    conditions: list[Obj] = []
    for new in made:
        before = get_condition({"status": old}, new["type"])
        moved = before is None or before.get("status") != new["status"]
        stamp = rfc3339(now) if moved or before is None else before.get("lastTransitionTime")
        full: Obj = {"type": new["type"], "status": new["status"], "lastProbeTime": None}
        full["lastTransitionTime"] = stamp or rfc3339(now)
        if generation is not None:
            full["observedGeneration"] = generation
        full.update({k: new[k] for k in ("reason", "message") if new.get(k)})
        conditions.append(full)
    others = [c for c in old.get("conditions") or [] if c.get("type") not in OWNED_CONDITIONS]
    return conditions + others


def _ready_to_start(pod: Mapping[str, Any], observed: PodContainers, ips: list[str]) -> Obj:
    ready = observed.live_sandbox is not None and bool(ips)
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


def _readiness(pod: Mapping[str, Any], status: Mapping[str, Any], old: Mapping[str, Any]) -> list[Obj]:
    sidecars = {c["name"] for c in spec_init_containers(pod) if is_sidecar(c)}
    told = [
        *(c for c in status.get("initContainerStatuses") or [] if c["name"] in sidecars),
        *status["containerStatuses"],
    ]
    unready = [c["name"] for c in told if not c["ready"]]
    containers: Obj = {"type": "ContainersReady", "status": "True"}
    if status["phase"] in ("Succeeded", "Failed"):
        containers = {
            "type": "ContainersReady",
            "status": "False",
            "reason": "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed",
        }
    elif unready:
        containers = {
            "type": "ContainersReady",
            "status": "False",
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    ready = {**containers, "type": "Ready"}
    missing = []
    for gate in pod["spec"].get("readinessGates") or []:
        condition = get_condition({"status": old}, gate["conditionType"])
        if condition is None:
            missing.append(f'corresponding condition of pod readiness gate "{gate["conditionType"]}" does not exist.')
        elif condition.get("status") != "True":
            missing.append(
                f'the status of pod readiness gate "{gate["conditionType"]}" is not "True",'
                f" but {condition.get('status')}"
            )
    if containers["status"] == "True" and missing:
        ready = {
            "type": "Ready",
            "status": "False",
            "reason": "ReadinessGatesNotReady",
            "message": ", ".join(missing),
        }
    return [ready, containers]


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
