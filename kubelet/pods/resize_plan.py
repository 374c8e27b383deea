"""In-place resize (KEP-1287) as pure functions: what a node grants of a changed request, what then has to happen to
containers that run, and how it is told.

What a pod *wants* stands in its spec. What it has been *granted* (upstream: allocated) is what the node counts, and
what containers are made with. What a running container *has* is what Docker was last told. Only cpu and memory of app
containers and sidecars change.
Rules and texts: pkg/kubelet/allocation, kuberuntime_manager.go computePodResizeAction, pkg/kubelet/events
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api import pod_resources, quantities
from api.meta import Obj
from kubelet.configuration import Configuration
from kubelet.pods import admission
from kubelet.pods.critical import is_static
from kubelet.pods.model import (
    Container,
    PodContainers,
    is_sidecar,
    spec_containers,
    spec_init_containers,
)
from kubelet.pods.qos import docker_resources

PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
DEFERRED, INFEASIBLE = "Deferred", "Infeasible"
Granted = dict[str, Obj]
"""By container: its `resources`."""
_FIELDS = {"cpu": ("CpuShares", "CpuQuota"), "memory": ("Memory",)}


@dataclass(slots=True)
class Resize:
    """How far a pod's resize has come: the conditions that tell it, without their times."""

    pending: Obj | None = None
    progress: Obj | None = None
    retry_at: datetime | None = None
    """After Docker has refused."""

    def conditions(self) -> list[Obj]:
        return [c for c in (self.pending, self.progress) if c is not None]


# --- what is wanted and granted ----------------------------------------------------------------------------


def resizable(pod: Mapping[str, Any]) -> list[Obj]:
    return [*filter(is_sidecar, spec_init_containers(pod)), *spec_containers(pod)]


def wanted(pod: Mapping[str, Any]) -> Granted:
    return {c["name"]: c.get("resources") or {} for c in resizable(pod)}


def remembered(pod: Mapping[str, Any], observed: PodContainers) -> Granted:
    """What the pod's containers were made with, and for those that Docker does not have what the pod wants."""
    granted = wanted(pod)
    for name in granted:
        made = observed.latest(name)
        if made is not None and made.resources:
            granted[name] = json.loads(made.resources)
    return granted


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Amounts may be written differently."""
    return all(_amounts(one, kind) == _amounts(other, kind) for kind in ("requests", "limits"))


def _amounts(resources: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {name: quantities.parse(amount) for name, amount in (resources.get(kind) or {}).items()}


def differs(pod: Mapping[str, Any], granted: Granted) -> bool:
    return any(not same(resources, granted.get(name, resources)) for name, resources in wanted(pod).items())


def as_granted(pod: Obj, granted: Granted) -> Obj:
    """The pod with what the node has granted it in place of what it wants; itself when that is the same."""
    if not differs(pod, granted):
        return pod
    spec = dict(pod["spec"])
    names = {c["name"] for c in resizable(pod)}
    for kind in ("initContainers", "containers"):
        if spec.get(kind):
            spec[kind] = [
                {**c, "resources": granted[c["name"]]} if c["name"] in names and c["name"] in granted else c
                for c in spec[kind]
            ]  # fmt: skip
    return {**pod, "spec": spec}


def judge(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> tuple[str, str]:
    """Why the node cannot grant what the pod wants, Deferred or Infeasible, and a text; ("", "") when it can."""
    if is_static(pod):
        return INFEASIBLE, "In-place resize of static-pods is not supported"
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    bare = {**pod, "status": {}}
    requests = pod_resources.requests(bare)
    for name, count in (("memory", quantities.units), ("cpu", quantities.millis)):
        if name in requests and name in allocatable and count(requests[name]) > count(allocatable[name]):
            amounts = f"requested: {count(requests[name])}, capacity: {count(allocatable[name])}"
            return INFEASIBLE, f"Node didn't have enough capacity: {name}, {amounts}"
    no = admission.resources(bare, node, others, configuration)
    return (DEFERRED, no.message) if no is not None else ("", "")


def by_urgency(pods: Iterable[tuple[Obj, Granted]]) -> list[str]:
    """UIDs of pods that wait, as they are to be asked again: who wants no more than he has, then by priority, then the
    guaranteed, then who has waited longest."""

    def rank(item: tuple[Obj, Granted]) -> tuple[bool, int, bool, str]:
        pod, granted = item
        before, after = (pod_resources.requests({**p, "status": {}}) for p in (as_granted(pod, granted), pod))
        more = any(quantities.parse(after.get(k, "0")) > quantities.parse(before.get(k, "0")) for k in _FIELDS)
        told = (c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] == PENDING)
        since = next((str(c.get("lastTransitionTime") or "~") for c in told), "~")
        guaranteed = pod_resources.qos_class(pod["spec"]) == "Guaranteed"
        return more, -int(pod["spec"].get("priority") or 0), not guaranteed, since

    return [pod["metadata"]["uid"] for pod, _ in sorted(pods, key=rank)]


# --- what containers that run have -------------------------------------------------------------------------


def unmet(spec: Mapping[str, Any], container: Container) -> list[str]:
    """Which of cpu and memory the container does not have as granted. `spec` is as granted."""
    if container.applied is None:
        return []
    want, has = _applied(docker_resources(spec)), dict(container.applied)
    return [name for name, fields in _FIELDS.items() if any(want[f] != has.get(f, 0) for f in fields)]


def applied(host: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """What of Docker's HostConfig a resize changes."""
    return tuple(_applied(host).items())


def _applied(host: Mapping[str, Any]) -> dict[str, int]:
    return {field: int(host.get(field) or 0) for fields in _FIELDS.values() for field in fields}


def needs_restart(spec: Mapping[str, Any], container: Container) -> bool:
    """A resource whose policy is RestartContainer has changed since the container was made."""
    by_restart = {p["resourceName"] for p in spec.get("resizePolicy") or () if p["restartPolicy"] == "RestartContainer"}
    if not by_restart or not container.resources:
        return False
    want, had = (_applied(docker_resources(s)) for s in (spec, {"resources": json.loads(container.resources)}))
    return any(name in by_restart and any(want[f] != had[f] for f in fields) for name, fields in _FIELDS.items())


def in_progress(pod: Mapping[str, Any], observed: PodContainers) -> bool:
    """A running container does not have yet what was granted."""
    for spec in resizable(pod):
        container = observed.latest(spec["name"])
        if container is not None and container.running and (
            unmet(spec, container) or needs_restart(spec, container)
        ):  # fmt: skip
            return True
    return False


# --- how it is told ----------------------------------------------------------------------------------------


def container_status(spec: Mapping[str, Any], container: Container, old: Mapping[str, Any]) -> Obj:
    """`resources` and `allocatedResources` of a container's status. What it does not have yet is told as it was."""
    granted = spec.get("resources") or {}
    told = {kind: dict(granted[kind]) for kind in ("limits", "requests") if granted.get(kind)}
    if granted.get("claims"):
        told["claims"] = granted["claims"]
    before = old.get("resources") or {}
    for name in unmet(spec, container) if container.running else ():
        for kind in ("limits", "requests"):
            if name in (before.get(kind) or {}):
                told.setdefault(kind, {})[name] = before[kind][name]
    made: Obj = {"resources": told}
    if granted.get("requests"):
        made["allocatedResources"] = granted["requests"]
    return made


def condition(type_: str, generation: Any, reason: str = "", message: str = "") -> Obj:
    made: Obj = {"type": type_, "status": "True"}
    made |= {key: value for key, value in (("reason", reason), ("message", message)) if value}
    return made if generation is None else {**made, "observedGeneration": generation}


def summary(what: str, pod: Mapping[str, Any], generation: Any, error: str = "") -> str:
    """The text of an event."""
    told: Obj = {}
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or ():
            resources = container.get("resources") or {}
            shown = {k: dict(sorted(resources[k].items())) for k in ("limits", "requests") if resources.get(k)}
            told.setdefault(kind, []).append({"name": container["name"], "resources": shown})
    told["generation"] = generation or 0
    if error:
        told["error"] = error
    return f"Pod resize {what}: {json.dumps(told, separators=(',', ':'), ensure_ascii=False)}"
