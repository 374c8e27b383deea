"""Pod: defaults, what an update may change, how it prints."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

from api import meta, printing, quantities
from api.errors import forbidden_field, invalid
from api.kinds import pod_defaults, pod_validation
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors

_COMPUTE = ("cpu", "memory")


def default(pod: Obj) -> None:
    spec = pod.setdefault("spec", {})
    pod_defaults.spec(spec)
    spec.setdefault("enableServiceLinks", True)


def prepare(pod: Obj, old: Obj | None) -> None:
    """Status comes from the kubelet alone; a new pod is Pending with its QoS class."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])} if old is None else old.get("status", {})


def prepare_status(pod: Obj, old: Obj | None) -> None:
    if old is not None and (old.get("status") or {}).get("qosClass"):
        pod.setdefault("status", {})["qosClass"] = old["status"]["qosClass"]


def qos_class(spec: Obj) -> str:
    """BestEffort without any request or limit, Guaranteed when each limit is set and equals its request."""
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    any_set, guaranteed = False, True
    for container in containers:
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in _COMPUTE:
            limit, request = limits.get(name), requests.get(name, limits.get(name))
            try:
                has_limit = limit is not None and quantities.parse(limit) > 0
                has_request = request is not None and quantities.parse(request) > 0
                equal = has_limit and quantities.parse(request) == quantities.parse(limit)
            except ValueError:
                return "BestEffort"  # validation refuses the pod right after
            any_set = any_set or has_limit or has_request
            guaranteed = guaranteed and equal
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def validate(pod: Obj, old: Obj | None) -> Errors:
    errors = pod_validation.spec(pod.get("spec") or {}, "spec")
    if old is not None:
        errors += _update(pod["spec"], old["spec"])
    return errors


def _update(new: Obj, old: Obj) -> Errors:
    """Only images, the deadline, the grace period, added tolerations and removed gates may change."""
    errors: Errors = []
    frame = copy.deepcopy(new)
    for kind in ("containers", "initContainers"):
        if len(frame.get(kind) or []) != len(old.get(kind) or []):
            return [forbidden_field(f"spec.{kind}", "pod updates may not add or remove containers")]
        for container, before in zip(frame.get(kind) or [], old.get(kind) or [], strict=True):
            container["image"] = before["image"]
    deadline, previous = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if previous is not None and deadline is None:
        errors.append(
            invalid("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
        )
    elif previous is not None and deadline is not None and deadline > previous:
        errors.append(
            invalid(
                "spec.activeDeadlineSeconds",
                deadline,
                f"must be less than or equal to previous value {previous}",
            )
        )
    if not all(t in (new.get("tolerations") or []) for t in old.get("tolerations") or []):
        errors.append(
            forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
        )
    gates = [g.get("name") for g in old.get("schedulingGates") or []]
    if any(g.get("name") not in gates for g in new.get("schedulingGates") or []):
        errors.append(
            forbidden_field("spec.schedulingGates", "only deletion is allowed, but found new scheduling gates")
        )
    for name in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        frame.pop(name, None)
        if name in old:
            frame[name] = old[name]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        frame["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    if frame != old and not errors:
        errors.append(
            forbidden_field("spec", "pod updates may not change fields other than `spec.containers[*].image`,"
                            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
                            "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow "
                            "it to be set to 1 if it was previously negative)")
        )  # fmt: skip
    return errors


COLUMNS = (
    Column("Name", format="name"),
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    Column("Age"),
    Column("IP", priority=1),
    Column("Node", priority=1),
    Column("Nominated Node", priority=1),
    Column("Readiness Gates", priority=1),
)


def cells(pod: Obj, now: datetime) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    sidecars = [c["name"] for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    inits = status.get("initContainerStatuses") or []
    ready = sum(1 for s in statuses if s.get("ready")) + sum(
        1 for s in inits if s["name"] in sidecars and s.get("ready")
    )
    total = len(spec.get("containers") or []) + len(sidecars)
    gates = spec.get("readinessGates") or []
    passed = sum(1 for g in gates if meta.is_condition_true(pod, g.get("conditionType", "")))
    return [
        meta.name(pod),
        f"{ready}/{total}",
        reason(pod),
        _restarts(status, sidecars, _initializing(pod)[0], now),
        printing.age_of(pod, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{passed}/{len(gates)}" if gates else "<none>",
    ]


def _restarts(status: Obj, sidecars: list[str], initializing: bool, now: datetime) -> str:
    """While the pod initializes its init containers' restarts count, afterwards the others' and the sidecars'."""
    inits = status.get("initContainerStatuses") or []
    if initializing:
        counted = inits
    else:
        counted = (status.get("containerStatuses") or []) + [s for s in inits if s["name"] in sidecars]
    total = sum(int(s.get("restartCount") or 0) for s in counted)
    ends = [
        meta.parse_time(s["lastState"]["terminated"]["finishedAt"])
        for s in counted
        if ((s.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
    ]
    if total and ends:
        return f"{total} ({printing.age((now - max(ends)).total_seconds())} ago)"
    return str(total)


def reason(pod: Obj) -> str:
    """The STATUS column (k8s.io/kubernetes/pkg/printers/internalversion printPod)."""
    status = pod.get("status") or {}
    shown = status.get("reason") or status.get("phase") or ""
    scheduled = meta.get_condition(pod, "PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        shown = "SchedulingGated"
    initializing, from_init = _initializing(pod)
    shown = from_init if initializing else _container_reason(status, shown, meta.is_condition_true(pod, "Ready"))
    if meta.is_deleting(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Succeeded", "Failed"):
            return "Terminating"
    return shown


def _initializing(pod: Obj) -> tuple[bool, str]:
    """Whether init containers are what the pod is at, and what they say. Once Initialized, they are history."""
    if meta.is_condition_true(pod, "Initialized"):
        return False, ""
    return _init_reason(pod.get("spec") or {}, pod.get("status") or {})


def _init_reason(spec: Obj, status: Obj) -> tuple[bool, str]:
    inits = spec.get("initContainers") or []
    restartable = {c["name"] for c in inits if c.get("restartPolicy") == "Always"}
    for index, container in enumerate(status.get("initContainerStatuses") or []):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if container["name"] in restartable and container.get("started"):
            continue
        if terminated:
            if terminated.get("reason"):
                return True, f"Init:{terminated['reason']}"
            if terminated.get("signal"):
                return True, f"Init:Signal:{terminated['signal']}"
            return True, f"Init:ExitCode:{terminated.get('exitCode')}"
        if waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return True, f"Init:{waiting['reason']}"
        return True, f"Init:{index}/{len(inits)}"
    return False, ""


def _container_reason(status: Obj, shown: str, pod_ready: bool) -> str:
    running = False
    for container in reversed(status.get("containerStatuses") or []):
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            shown = waiting["reason"]
        elif terminated is not None and terminated.get("reason"):
            shown = terminated["reason"]
        elif terminated is not None:
            signal = terminated.get("signal")
            shown = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode')}"
        elif container.get("ready") and state.get("running") is not None:
            running = True
    if shown == "Completed" and running:
        return "Running" if pod_ready else "NotReady"
    return shown


HOOKS = Hooks(
    default=default,
    prepare=prepare,
    validate=validate,
    prepare_status=prepare_status,
    columns=COLUMNS,
    cells=cells,
)
