"""Which pods stand behind a service, at which addresses and ports, and how fit they are. Pure.

The common ground of Endpoints and EndpointSlices. Rules: k8s.io/kubernetes/pkg/controller/endpointslice and
k8s.io/endpointslice/utils.go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api import meta
from api.meta import Obj
from api.selectors import from_match_labels
from controller import pod_state

ZONE = "topology.kubernetes.io/zone"
HEADLESS = "service.kubernetes.io/headless"


@dataclass(frozen=True, order=True, slots=True)
class Port:
    """One resolved port; field order is the sort order."""

    name: str
    port: int
    protocol: str
    app_protocol: str = ""

    def as_obj(self) -> Obj:
        obj: Obj = {"name": self.name, "port": self.port, "protocol": self.protocol}
        if self.app_protocol:
            obj["appProtocol"] = self.app_protocol
        return obj


def has_selector(service: Mapping[str, Any]) -> bool:
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def selected(service: Obj, pods: Iterable[Obj]) -> list[Obj]:
    selector = from_match_labels(service["spec"].get("selector"))
    return [pod for pod in pods if selector.matches(meta.labels(pod))]


def belongs(pod: Obj, *, include_terminating: bool) -> bool:
    """Whether a selected pod has an address worth publishing, ready or not."""
    if pod_state.is_terminal(pod) or not addresses(pod):
        return False
    return include_terminating or not meta.is_deleting(pod)


def addresses(pod: Obj, family: str = "") -> list[str]:
    """The pod's IPs, of one family (`IPv4`, `IPv6`) if asked."""
    status = pod_state.status(pod)
    ips = [str(entry["ip"]) for entry in status.get("podIPs") or [] if entry.get("ip")]
    if not ips and status.get("podIP"):
        ips = [str(status["podIP"])]
    return [ip for ip in ips if not family or family == f"IPv{ipaddress.ip_address(ip).version}"]


def families(service: Obj) -> list[str]:
    return list(service["spec"].get("ipFamilies") or ["IPv4"])


def ports(service: Obj, pod: Obj) -> tuple[Port, ...]:
    """The service's ports on this pod. A named target port that the pod does not have is left out."""
    resolved = []
    for entry in service["spec"].get("ports") or []:
        number = _target(entry, pod)
        if number is not None:
            protocol = entry.get("protocol") or "TCP"
            resolved.append(Port(entry.get("name") or "", number, protocol, entry.get("appProtocol") or ""))
    return tuple(sorted(resolved))


def _target(entry: Mapping[str, Any], pod: Obj) -> int | None:
    target = entry.get("targetPort")
    if target is None or target in (0, ""):
        return int(entry["port"])
    if isinstance(target, int):
        return target
    spec = pod_state.spec(pod)
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or []), *sidecars]:
        for port in container.get("ports") or []:
            same_protocol = (port.get("protocol") or "TCP") == (entry.get("protocol") or "TCP")
            if port.get("name") == target and same_protocol:
                return int(port["containerPort"])
    return None


def is_published_ready(service: Obj, pod: Obj) -> bool:
    """Takes new connections: ready and staying, or the service publishes everything."""
    if service["spec"].get("publishNotReadyAddresses"):
        return True
    return pod_state.is_ready(pod) and not meta.is_deleting(pod)


def target_ref(pod: Obj) -> Obj:
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}


def hostname(service: Obj, pod: Obj) -> str:
    """The pod's own DNS label under the service's name, when it asks for one."""
    spec = pod_state.spec(pod)
    if spec.get("hostname") and spec.get("subdomain") == meta.name(service):
        return str(spec["hostname"])
    return ""


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def service_labels(service: Obj) -> dict[str, str]:
    """The labels that endpoints take over from their service, with the mark of a headless one."""
    labels = {k: v for k, v in meta.labels(service).items() if k != HEADLESS}
    return labels | {HEADLESS: ""} if is_headless(service) else labels


def matters(old: Obj | None, new: Obj | None) -> bool:
    """Whether a change of a pod can change any service's endpoints."""
    return old is None or new is None or _visible(old) != _visible(new)


def _visible(pod: Obj) -> tuple[Any, ...]:
    return (
        meta.uid(pod), meta.labels(pod), addresses(pod), pod_state.node_name(pod), pod_state.is_terminal(pod),
        pod_state.is_ready(pod), meta.is_deleting(pod),
    )  # fmt: skip
