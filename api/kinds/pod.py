"""Pod: defaults, what an update may change, how it prints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import forbidden_field
from api.kinds import pod_defaults, pod_update, pod_validation
from api.meta import Obj
from api.pod_resources import qos_class
from api.registry import Column, Hooks
from api.validation import Errors


def default(pod: Obj) -> None:
    spec = pod.setdefault("spec", {})
    pod_defaults.spec(spec)
    pod_defaults.pod(spec)


def prepare(pod: Obj, old: Obj | None) -> None:
    """Status comes from the kubelet alone; a new pod is Pending with its QoS class."""
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])} if old is None else old.get("status", {})
    if old is None:
        if pod["spec"].get("schedulingGates"):
            gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
            message = "Scheduling is blocked due to non-empty scheduling gates"
            pod["status"]["conditions"] = [{**gated, "message": message}]
        _match_label_keys(pod)
    elif old["spec"].get("ephemeralContainers"):
        pod["spec"]["ephemeralContainers"] = old["spec"]["ephemeralContainers"]
    else:
        pod["spec"].pop("ephemeralContainers", None)


def _match_label_keys(pod: Obj) -> None:
    """(mis)matchLabelKeys become part of the selector, with the values of the pod's labels (KEP-3633, KEP-3243)."""
    labels, spec = meta.labels(pod), pod["spec"]
    affinity = spec.get("affinity") or {}
    terms = list(spec.get("topologySpreadConstraints") or ())
    for kind in ("podAffinity", "podAntiAffinity"):
        terms += (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighted in (affinity.get(kind) or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            terms.append(weighted.get("podAffinityTerm") or {})
    for term in terms:
        selector = term.get("labelSelector")
        for name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for key in term.get(name) or () if selector is not None else ():
                if key in labels:
                    requirement = {"key": key, "operator": operator, "values": [labels[key]]}
                    selector.setdefault("matchExpressions", []).append(requirement)


def prepare_status(pod: Obj, old: Obj | None) -> None:
    if old is not None and (old.get("status") or {}).get("qosClass"):
        pod.setdefault("status", {})["qosClass"] = old["status"]["qosClass"]


def prepare_ephemeral(pod: Obj, old: Obj | None) -> None:
    """Of the request only the ephemeral containers count."""
    if old is not None:
        wanted = pod["spec"].get("ephemeralContainers")
        pod["spec"] = meta.copied(old["spec"])
        if wanted:
            pod["spec"]["ephemeralContainers"] = wanted
        default(pod)


def prepare_resize(pod: Obj, old: Obj | None) -> None:
    if old is not None:
        default(pod)


def validate(pod: Obj, old: Obj | None) -> Errors:
    spec = pod.get("spec") or {}
    errors = pod_validation.metadata(meta.annotations(pod), spec, "metadata.annotations")
    errors += pod_validation.spec(spec, "spec", pod["metadata"])
    if not spec.get("serviceAccountName"):
        errors += [
            forbidden_field(f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken",
                            "must not be specified when serviceAccountName is not set")
            for i, volume in enumerate(spec.get("volumes") or ())
            for j, source in enumerate((volume.get("projected") or {}).get("sources") or ())
            if source.get("serviceAccountToken") is not None
        ]  # fmt: skip
    if old is not None:
        return errors + pod_update.notes(pod, old) + pod_update.spec(spec, old["spec"])
    if spec.get("ephemeralContainers"):
        errors.append(forbidden_field("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def validate_status(pod: Obj, old: Obj | None) -> Errors:
    return pod_update.status(pod, old) if old is not None else []


def validate_ephemeral(pod: Obj, old: Obj | None) -> Errors:
    errors = pod_validation.spec(pod["spec"], "spec", pod["metadata"])
    return errors + (pod_update.ephemeral_containers(pod, old) if old is not None else [])


def validate_resize(pod: Obj, old: Obj | None) -> Errors:
    errors = pod_validation.spec(pod["spec"], "spec", pod["metadata"])
    return errors + (pod_update.resize(pod, old, qos_class) if old is not None else [])


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
        next((a.get("ip") for a in status.get("podIPs") or ()), None) or status.get("podIP") or "<none>",
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
    validate_status=validate_status,
    doors={
        "ephemeralcontainers": (prepare_ephemeral, validate_ephemeral),
        "resize": (prepare_resize, validate_resize),
    },
    spec_doors=("ephemeralcontainers", "resize"),
    columns=COLUMNS,
    cells=cells,
)
