"""What this node refuses although it was bound to it: the pod becomes Failed, and nothing of it ever runs. Pure.

    admit(pod, node, others, configuration) -> Rejection or None

Asked once in a pod's life, before anything is made of it. `others` are the pods that the node has taken and that have
not ended. A check is a function with these parameters in `CHECKS`; the first that refuses is told.
Rules: pkg/kubelet/lifecycle/predicate.go, the scheduler's AdmissionCheck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from api import pod_resources, quantities
from api.meta import Obj
from api.placement import tolerates, wants
from kubelet.configuration import Configuration
from kubelet.pods import kernel
from kubelet.pods.critical import is_critical, is_static
from kubelet.pods.model import is_sidecar, spec_containers, spec_init_containers

_OS = "kubernetes.io/os"


@dataclass(frozen=True, slots=True)
class Rejection:
    reason: str
    message: str
    lacking: Mapping[str, int] = field(default_factory=dict)
    """By resource, as `requested` counts it: with so much more room the pod would be taken."""


Check = Callable[[Obj, Obj, Sequence[Obj], Configuration], Rejection | None]


def admit(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    """For a critical pod room can be made: it is refused for that only if nothing else speaks against it."""
    refusals = (no for check in CHECKS if (no := check(pod, node, others, configuration)) is not None)
    return min(refusals, key=lambda no: bool(no.lacking), default=None) if is_critical(pod) else next(refusals, None)


def _predicate(name: str, why: str) -> Rejection:
    return Rejection(name, f"Predicate {name} failed: {why}")


def operating_system(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    if (pod["metadata"].get("labels") or {}).get(_OS, "linux") != "linux":
        text = "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
        return Rejection("PodOSSelectorNodeLabelDoesNotMatch", text)
    if (pod["spec"].get("os") or {}).get("name", "linux") != "linux":
        return Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS")
    return None


def resources(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    """What the node has of each resource, less what the others request. Extended resources it knows nothing of are
    somebody else's to count."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    wanted = {"pods", *pod_resources.requests(pod)} & allocatable.keys()
    refusal, lacking = None, {}
    for name in sorted(wanted, key=_rank):
        count, capacity = requested(pod, name), _count(name, allocatable[name])
        used = sum(requested(other, name) for other in others) if count else 0
        if count and used + count > capacity:
            lacking[name] = used + count - capacity
            refusal = refusal or _insufficient(name, count, used, capacity)
    return refusal and replace(refusal, lacking=lacking)


def _insufficient(name: str, count: int, used: int, capacity: int) -> Rejection:
    amounts = f"requested: {count}, used: {used}, capacity: {capacity}"
    return Rejection(f"OutOf{name}", f"Node didn't have enough resource: {name}, {amounts}")


def requested(pod: Obj, name: str) -> int:
    """What a pod asks for of a resource: cpu in thousandths, `pods` themselves one by one."""
    return 1 if name == "pods" else _count(name, pod_resources.requests(pod).get(name, "0"))


def _count(name: str, amount: str) -> int:
    return quantities.millis(amount) if name == "cpu" else quantities.units(amount)


def _rank(name: str) -> tuple[int, str]:
    first = ("pods", "cpu", "memory", "ephemeral-storage")
    return (first.index(name) if name in first else len(first), name)


def node_affinity(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    meta = node.get("metadata") or {}
    if not meta or wants(pod["spec"], meta.get("name", ""), meta.get("labels") or {}):
        return None
    return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")


def host_ports(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    wanted = list(_host_ports(pod))
    taken = [port for other in others for port in _host_ports(other)] if wanted else []
    if any(_collide(one, other) for one in wanted for other in taken):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


_HostPort = tuple[str, str, int]


def _host_ports(pod: Obj) -> Iterable[_HostPort]:
    for container in (*filter(is_sidecar, spec_init_containers(pod)), *spec_containers(pod)):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"])


def _collide(one: _HostPort, other: _HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or "0.0.0.0" in (one[0], other[0]))


def taints(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    """NoExecute ones. Static pods are not asked."""
    tolerations = pod["spec"].get("tolerations") or ()
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") == "NoExecute" and not is_static(pod) and not any(
            tolerates(t, taint) for t in tolerations
        ):  # fmt: skip
            return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    return None


def sysctls(pod: Obj, node: Obj, others: Sequence[Obj], configuration: Configuration) -> Rejection | None:
    why = kernel.forbidden_sysctl(pod, configuration.allowed_unsafe_sysctls)
    return Rejection("SysctlForbidden", why) if why else None


def app_armor(pod: Obj, enabled: bool) -> Rejection | None:
    """Asked after the others: only the machine knows whether it has AppArmor."""
    why = kernel.app_armor_missing(pod, enabled)
    return Rejection("AppArmor", why) if why else None


CHECKS: list[Check] = [sysctls, operating_system, resources, node_affinity, host_ports, taints]
