"""The statuses of a pod's containers. Rules: kubelet_pods.go convertToAPIContainerStatuses, status_manager.go
normalizeStatus; dockershim for the reasons of ended containers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.meta import Obj, is_deleting, rfc3339
from kubelet.pods.model import (
    Container,
    PodContainers,
    every_container,
    is_sidecar,
    is_terminal,
    spec_containers,
    spec_ephemeral_containers,
    spec_init_containers,
)
from kubelet.pods.resize_plan import container_status
from kubelet.pods.status.lost import unknown_end
from kubelet.pods.sync.plan import Memory, Plan
from kubelet.pods.sync.restarts import LOST, restarts
from kubelet.volumes import read_only

_MESSAGES_OF_POD = 12 * 1024
"""Bytes of termination messages in one pod's status, shared out among its containers."""
_KINDS = (
    ("containerStatuses", spec_containers),
    ("initContainerStatuses", spec_init_containers),
    ("ephemeralContainerStatuses", spec_ephemeral_containers),
)
_LOST = "The container could not be located when the pod was deleted.  The container used to be Running"


def container_statuses(
    pod: Mapping[str, Any], observed: PodContainers, memory: Memory, plan: Plan
) -> dict[str, list[Obj]]:
    """By the names of the fields of the pod's status."""
    old_status: Mapping[str, Any] = pod.get("status") or {}
    over = is_deleting(pod) or is_terminal(pod) or memory.ending is not None or plan.ending is not None
    made: dict[str, list[Obj]] = {}
    for field_name, containers in _KINDS:
        old = {c["name"]: c for c in old_status.get(field_name) or []}
        told = [
            _status(spec, field_name, pod, observed, memory, plan, old.get(spec["name"]) or {}, over)
            for spec in containers(pod)
        ]
        if told or field_name == "containerStatuses":
            made[field_name] = told
    return made


def container_id(container: Container) -> str:
    return f"docker://{container.id}"


def terminated(container: Container, most_bytes: int = _MESSAGES_OF_POD) -> Obj:
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
    message = ": ".join(part for part in (container.error, container.message) if part)
    if message:
        state["message"] = message.encode()[:most_bytes].decode(errors="ignore")
    return state


def _status(
    spec: Mapping[str, Any],
    field_name: str,
    pod: Mapping[str, Any],
    observed: PodContainers,
    memory: Memory,
    plan: Plan,
    old: Mapping[str, Any],
    over: bool,
) -> Obj:
    name = spec["name"]
    latest, previous = observed.latest(name), observed.previous(name)
    if latest is not None and latest.state == "created":
        latest, previous = previous, None
    plain_init = field_name == "initContainerStatuses" and not is_sidecar(spec)
    waiting = "PodInitializing" if spec_init_containers(pod) else "ContainerCreating"
    most_bytes = _MESSAGES_OF_POD // len(every_container(pod))
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
    if spec.get("volumeMounts"):
        result["volumeMounts"] = read_only.status(spec)
    if latest is None:
        _fill_vanished(result, old, pod, spec, over)
    else:
        result["restartCount"] = max(latest.attempt, result["restartCount"] if not latest.running else 0)
        result["containerID"] = container_id(latest)
        result["imageID"] = latest.image_id
        if latest.user:
            result["user"] = {"linux": user(latest.user)}
        if latest.running:
            _fill_running(result, latest, memory, plain_init)
        else:
            result["state"] = {"terminated": terminated(latest, most_bytes)}
            result["ready"] = plain_init and latest.exit_code == 0
        result |= container_status(spec, latest, old)
        if previous is not None and previous.exited:
            result["lastState"] = {"terminated": terminated(previous, most_bytes)}
    if (result["lastState"].get("terminated") or {}).get("containerID") == result.get("containerID"):
        result["lastState"] = {}
    if not result["state"].get("running") and not over:
        _fill_held_back(result, name, memory, plan, waiting if memory.renews(latest) else "")
    if field_name == "ephemeralContainerStatuses":  # nobody asks whether they are ready
        result["ready"] = False
        del result["started"]
    return result


def user(known: str) -> Obj:
    """Who the first process began as (KEP-3619), from `uid:gid:group,group…`."""
    uid, gid, groups = known.split(":")
    return {"uid": int(uid), "gid": int(gid), "supplementalGroups": [int(g) for g in groups.split(",")]}


def _fill_running(result: Obj, latest: Container, memory: Memory, plain_init: bool) -> None:
    started = rfc3339(latest.started_at) if latest.started_at else None
    result["state"] = {"running": {"startedAt": started}}
    probes = memory.probes.get(latest.id)
    result["started"] = probes is None or probes.started
    result["ready"] = not plain_init and result["started"] and (probes is None or probes.ready)


def _fill_vanished(
    result: Obj, old: Mapping[str, Any], pod: Mapping[str, Any], spec: Mapping[str, Any], over: bool
) -> None:
    """Docker has no container of this name: never made yet, or removed behind our back."""
    state: Obj = old.get("state") or {}
    if state.get("terminated"):
        result["state"] = state
        result["ready"] = bool(old.get("ready"))
    elif "running" in state:
        if over or not restarts(pod, spec, LOST):
            result["state"] = {"terminated": unknown_end()}
        else:
            result["lastState"] = {"terminated": unknown_end(_LOST)}


def _fill_held_back(result: Obj, name: str, memory: Memory, plan: Plan, renewed: str) -> None:
    """Why the container does not run, when it should: back-off or a failed try, or that it is about to be started again
    though it may have ended well (`renewed`, the reason to be told): what is told to have ended for good stays so."""
    failure = memory.failures.get(name)
    if name in plan.waiting:
        held: Obj = {"reason": "CrashLoopBackOff", "message": plan.waiting[name]}
    elif failure is not None:
        held = {"reason": failure.reason, "message": failure.message}
    elif renewed:
        held = {"reason": renewed}
    else:
        return
    if result["state"].get("terminated"):
        result["lastState"] = {"terminated": result["state"]["terminated"]}
    result["state"] = {"waiting": held}
    result["ready"] = False
