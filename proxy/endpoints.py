"""Services and endpoint slices → what the rules and the conntrack clean-up need to know. Pure.

`service_ports` gives one ServicePort per port of every Service that has a cluster IP, with the endpoints that
new connections on this node may go to. The choice follows upstream's pkg/proxy/topology.go:
ready endpoints; when there is none, those that are terminating and still serve (KEP-1669); hints
(KEP-2433, KEP-4444) narrow the choice only when every candidate carries them and one fits this node.
IPv4 alone; SCTP like TCP and UDP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api import meta

SERVICE_NAME = "kubernetes.io/service-name"
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    ip: str
    port: int
    local: bool = False
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    for_nodes: tuple[str, ...] = ()
    for_zones: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service as seen from this node.

    `cluster` serves traffic that may leave the node, `local` traffic that must not (a policy is Local).
    `anywhere`: some node has a usable endpoint. It decides between REJECT and DROP.
    """

    name: str  # "namespace/name:port", or "namespace/name" for a port without a name
    protocol: str  # "tcp", "udp" or "sctp"
    cluster_ips: tuple[str, ...]
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    affinity_seconds: int = 0
    internal_local: bool = False
    external_local: bool = False
    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()

    @property
    def anywhere(self) -> bool:
        return bool(self.cluster)


def service_ports(
    services: Iterable[meta.Obj], slices: Iterable[meta.Obj], node_name: str, zone: str = ""
) -> list[ServicePort]:
    """In the order of names, so that equal inputs make equal rules."""
    found = endpoints_by_port(slices, node_name)
    ports = [
        _service_port(service, port, ips, found, node_name, zone)
        for service in services
        if (ips := proxied_ips(service))
        for port in service["spec"].get("ports") or []
    ]
    return sorted(ports, key=lambda p: (p.name, p.protocol))


def proxied_ips(service: meta.Obj) -> tuple[str, ...]:
    """Its IPv4 cluster IPs; none when it is headless, ExternalName, or left to another proxy."""
    spec = service["spec"]
    if spec.get("type") == "ExternalName" or PROXY_NAME in meta.labels(service):
        return ()
    return _ipv4(spec.get("clusterIPs") or [spec.get("clusterIP")])


def _ipv4(addresses: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(a for a in addresses if a and a != "None" and ":" not in a)


def _service_port(
    service: meta.Obj,
    port: Mapping[str, Any],
    ips: tuple[str, ...],
    found: Mapping[tuple[str, str, str], Iterable[Endpoint]],
    node_name: str,
    zone: str,
) -> ServicePort:
    spec = service["spec"]
    name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
    candidates = sorted(set(found.get((meta.key(service), name, protocol), ())))
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = int(config.get("timeoutSeconds") or 10800)
    local = usable([e for e in candidates if e.local])
    cluster = hinted(usable(candidates), node_name, zone)
    return ServicePort(
        name=meta.key(service) + (f":{name}" if name else ""),
        protocol=protocol.lower(),
        cluster_ips=ips,
        port=int(port["port"]),
        node_port=int(port.get("nodePort") or 0),
        external_ips=_ipv4(spec.get("externalIPs") or []),
        load_balancer_ips=_ipv4(i.get("ip") for i in ingress if i.get("ipMode", "VIP") == "VIP"),
        source_ranges=tuple(r.strip() for r in spec.get("loadBalancerSourceRanges") or [] if ":" not in r),
        affinity_seconds=affinity,
        internal_local=spec.get("internalTrafficPolicy") == "Local",
        external_local=spec.get("externalTrafficPolicy") == "Local",
        cluster=tuple(cluster),
        local=tuple(local),
    )


def usable(candidates: list[Endpoint]) -> list[Endpoint]:
    """The ready ones, else those that terminate and still serve."""
    ready = [e for e in candidates if e.ready]
    return ready or [e for e in candidates if e.serving and e.terminating]


def hinted(candidates: list[Endpoint], node_name: str, zone: str) -> list[Endpoint]:
    """Those meant for this node, else for its zone. Half-written hints are ignored, never half-obeyed."""
    if candidates and all(e.for_nodes for e in candidates):
        mine = [e for e in candidates if node_name in e.for_nodes]
        if mine:
            return mine
    if zone and candidates and all(e.for_zones for e in candidates):
        return [e for e in candidates if zone in e.for_zones] or candidates
    return candidates


def endpoints_by_port(slices: Iterable[meta.Obj], node_name: str) -> dict[tuple[str, str, str], list[Endpoint]]:
    """(service key, port name, protocol) → endpoints. A Service may have many slices."""
    found: dict[tuple[str, str, str], list[Endpoint]] = defaultdict(list)
    for item in slices:
        service = meta.labels(item).get(SERVICE_NAME)
        if not service or item.get("addressType") != "IPv4" or HEADLESS in meta.labels(item):
            continue
        key = f"{meta.namespace(item)}/{service}"
        for port in item.get("ports") or []:
            if port.get("port") is None:
                continue
            where = (key, port.get("name") or "", port.get("protocol") or "TCP")
            found[where].extend(
                _endpoint(e, int(port["port"]), node_name) for e in item.get("endpoints") or [] if e.get("addresses")
            )
    return found


def _endpoint(raw: Mapping[str, Any], port: int, node_name: str) -> Endpoint:
    conditions = raw.get("conditions") or {}
    ready = conditions.get("ready") is not False  # nil means unknown, which is read as ready
    serving = conditions.get("serving")
    hints = raw.get("hints") or {}
    return Endpoint(
        ip=raw["addresses"][0],
        port=port,
        local=raw.get("nodeName") == node_name,
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=conditions.get("terminating") is True,
        for_nodes=tuple(h["name"] for h in hints.get("forNodes") or []),
        for_zones=tuple(h["name"] for h in hints.get("forZones") or []),
    )
