"""Service ports → the chains and rules of the node. Pure: values in, text out.

Shape, as upstream's iptables mode (pkg/proxy/iptables), with our own prefix:

    nat     PREROUTING, OUTPUT → SAMPAN-SERVICES    one rule per cluster IP, external IP, load balancer IP
                                  └→ SAMPAN-NODEPORTS   anything to an address of the node
            SAMPAN-SVC-<hash>   all endpoints of a port, picked at random
            SAMPAN-SVL-<hash>   its endpoints on this node (a traffic policy is Local)
            SAMPAN-EXT-<hash>   traffic from outside: masquerade, or keep to this node
            SAMPAN-FW-<hash>    load balancer source ranges
            SAMPAN-SEP-<hash>   one endpoint: hairpin mark, affinity, DNAT
            POSTROUTING → SAMPAN-POSTROUTING  masquerades what is marked, and pods that leave the cluster
    filter  INPUT, FORWARD, OUTPUT → SAMPAN-INPUT, SAMPAN-FORWARD, SAMPAN-OUTPUT
                                  └→ SAMPAN-SERVICES   REJECT without endpoints, DROP without local ones

The mark is one bit, 0x4000, set and cleared with a mask: other users of the mark keep theirs. It is cleared
before the packet leaves.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from proxy.endpoints import Endpoint, ServicePort

MARK = "0x4000/0x4000"
SERVICES, NODEPORTS = "SAMPAN-SERVICES", "SAMPAN-NODEPORTS"
POSTROUTING, MARK_MASQ = "SAMPAN-POSTROUTING", "SAMPAN-MARK-MASQ"
INPUT, FORWARD, OUTPUT = "SAMPAN-INPUT", "SAMPAN-FORWARD", "SAMPAN-OUTPUT"

# table → built-in chain → our chain that it enters first
JUMPS = {
    "nat": {"PREROUTING": SERVICES, "OUTPUT": SERVICES, "POSTROUTING": POSTROUTING},
    "filter": {"INPUT": INPUT, "FORWARD": FORWARD, "OUTPUT": OUTPUT},
}

_FIXED = {SERVICES, NODEPORTS, POSTROUTING, MARK_MASQ, INPUT, FORWARD, OUTPUT}
_PREFIXES = ("SAMPAN-SVC-", "SAMPAN-SVL-", "SAMPAN-EXT-", "SAMPAN-FW-", "SAMPAN-SEP-")

Chains = dict[str, list[str]]  # chain → its rules, without "-A chain "


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of the cluster and of this node. `pod_cidrs` is empty until the node has one."""

    cluster_cidr: str
    cluster_dns: str = ""
    pod_cidrs: tuple[str, ...] = ()


@dataclass(slots=True)
class Tables:
    """All chains of ours."""

    nat: Chains = field(default_factory=dict)
    filter: Chains = field(default_factory=dict)

    def chains(self, table: str) -> Chains:
        return self.nat if table == "nat" else self.filter


def is_ours(chain: str) -> bool:
    """Chains that this program writes and removes. Other SAMPAN- chains of the host are not its business."""
    return chain in _FIXED or chain.startswith(_PREFIXES)


def chain_name(kind: str, *identity: str) -> str:
    """`SAMPAN-SVC-XXXXXXXXXXXXXXXX`: stable, and within the kernel's 28 characters."""
    digest = hashlib.sha256("\0".join(identity).encode()).digest()
    return f"SAMPAN-{kind}-{base64.b32encode(digest)[:16].decode()}"


@dataclass(slots=True)
class Fragment:
    """What one service port adds: chains of its own, and rules in the shared ones. Never changed once made."""

    chains: Chains = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    node_ports: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)  # filter


def tables(ports: Iterable[ServicePort], network: Network) -> Tables:
    built = Tables()
    _fixed_chains(built, network)
    for port in ports:
        if network.cluster_dns in port.cluster_ips and not port.anywhere:
            continue  # the cluster DNS Service without pods of its own: this node answers it itself
        fragment = _fragment(port, network.cluster_cidr)
        built.nat.update(fragment.chains)
        built.nat[SERVICES] += fragment.services
        built.nat[NODEPORTS] += fragment.node_ports
        built.filter[SERVICES] += fragment.blocked
    # Last, so that a service address which is also the node's own is taken as the service's.
    built.nat[SERVICES].append(f"-m addrtype --dst-type LOCAL -j {NODEPORTS}")
    return built


def _fixed_chains(built: Tables, network: Network) -> None:
    cidr = network.cluster_cidr
    built.nat[SERVICES] = []
    built.nat[NODEPORTS] = []
    built.nat[MARK_MASQ] = ["-j MARK --or-mark 0x4000"]
    built.nat[POSTROUTING] = [
        f'-s {own} ! -d {cidr} -m mark ! --mark {MARK} -m comment --comment "pods that leave the cluster" '
        "-j MASQUERADE --random-fully"
        for own in network.pod_cidrs
    ] + [
        f"-m mark ! --mark {MARK} -j RETURN",
        "-j MARK --xor-mark 0x4000",
        '-m comment --comment "service traffic that must come back here" -j MASQUERADE --random-fully',
    ]
    built.filter[SERVICES] = []
    new = f"-m conntrack --ctstate NEW -j {SERVICES}"
    built.filter[INPUT] = [
        # route_localnet makes NodePorts answer on 127.0.0.1; it must not open loopback to the neighbours.
        "! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
        new,
        f"-s {cidr} -m conntrack --ctstate DNAT -j ACCEPT",
        f"-m mark --mark {MARK} -j ACCEPT",
    ]
    if network.cluster_dns:
        built.filter[INPUT] += [
            f"-s {cidr} -d {network.cluster_dns}/32 -p {protocol} -m {protocol} --dport 53 -j ACCEPT"
            for protocol in ("udp", "tcp")
        ]
    built.filter[FORWARD] = [
        # A packet conntrack cannot place would leave un-translated and make its receiver reset the connection.
        "-m conntrack --ctstate INVALID -j DROP",
        new,
        f"-m mark --mark {MARK} -j ACCEPT",
        f"-s {cidr} -j ACCEPT",
        f"-d {cidr} -j ACCEPT",
        "-m conntrack --ctstate DNAT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    built.filter[OUTPUT] = [new]


@lru_cache(maxsize=65536)  # a change of one Service leaves all others' text as it was
def _fragment(port: ServicePort, cidr: str) -> Fragment:
    made = Fragment()
    svc = chain_name("SVC", port.name, port.protocol)
    svl = chain_name("SVL", port.name, port.protocol)
    ext = chain_name("EXT", port.name, port.protocol)
    firewall = chain_name("FW", port.name, port.protocol)
    note = _comment(port.name)
    proto = f"-p {port.protocol} -m {port.protocol}"
    outside = bool(port.node_port or port.external_ips or port.load_balancer_ips)
    if port.cluster and (outside or not port.internal_local):
        made.chains[svc] = _masquerade_foreign(port, cidr) + _spread(made, port, port.cluster)
    if port.local and (port.internal_local or (port.external_local and outside)):
        made.chains[svl] = _masquerade_foreign(port, cidr) + _spread(made, port, port.local)
    if port.cluster and outside:
        made.chains[ext] = _external(port, cidr, svc, svl if svl in made.chains else "")
    guarded = bool(port.source_ranges)
    if port.cluster and port.load_balancer_ips and guarded:
        made.chains[firewall] = [f"-s {allowed} {note} -j {ext}" for allowed in port.source_ranges]

    for ip in port.cluster_ips:
        match = f"{proto} -d {ip}/32 --dport {port.port} {note}"
        if port.local if port.internal_local else port.cluster:
            made.services.append(f"{match} -j {svl if port.internal_local else svc}")
        else:
            made.blocked.append(f"{match} {_verdict(port)}")
    # Clients on this node are served by any endpoint even when outsiders must find a local one and there is none.
    refuse_outside = not port.cluster or (port.external_local and not port.local)
    for ip in (*port.external_ips, *port.load_balancer_ips):
        match = f"{proto} -d {ip}/32 --dport {port.port} {note}"
        behind_firewall = guarded and ip in port.load_balancer_ips
        if port.cluster:
            made.services.append(f"{match} -j {firewall if behind_firewall else ext}")
        if behind_firewall:
            made.blocked.append(f"{match} -j DROP")
        elif refuse_outside:
            made.blocked.append(f"{match} {_verdict(port)}")
    if port.node_port:
        if port.cluster:
            made.node_ports.append(f"{proto} --dport {port.node_port} {note} -j {ext}")
        if refuse_outside:
            match = f"{proto} -m addrtype --dst-type LOCAL --dport {port.node_port} {note}"
            made.blocked.append(f"{match} {_verdict(port)}")
    return made


def _verdict(port: ServicePort) -> str:
    """Nothing serves it: say so at once. Others serve it: be silent, a load balancer will find them."""
    return "-j DROP" if port.anywhere else "-j REJECT --reject-with icmp-port-unreachable"


def _masquerade_foreign(port: ServicePort, cidr: str) -> list[str]:
    """Who is no pod would get the answer from the pod itself, past the node that translated."""
    return [
        f"! -s {cidr} -d {ip}/32 -p {port.protocol} -m {port.protocol} --dport {port.port} -j {MARK_MASQ}"
        for ip in port.cluster_ips
    ]


def _external(port: ServicePort, cidr: str, svc: str, svl: str) -> list[str]:
    note = _comment(port.name)
    if not port.external_local:
        return [f"{note} -j {MARK_MASQ}", f"-j {svc}"]
    return [
        f"-s {cidr} {note} -j {svc}",
        f"-m addrtype --src-type LOCAL -j {MARK_MASQ}",
        f"-m addrtype --src-type LOCAL -j {svc}",
        *([f"-j {svl}"] if svl else []),
    ]


def _spread(made: Fragment, port: ServicePort, endpoints: Sequence[Endpoint]) -> list[str]:
    """Affinity first, then one draw: of n endpoints the i-th takes 1/(n-i) of what reaches it."""
    chains = [_endpoint_chain(made, port, endpoint) for endpoint in endpoints]
    sticky = [
        f"-m recent --name {chain} --rcheck --seconds {port.affinity_seconds} --reap -j {chain}"
        for chain in chains
        if port.affinity_seconds
    ]
    drawn = [
        f"-m statistic --mode random --probability {1 / (len(chains) - index):.10f} -j {chain}"
        for index, chain in enumerate(chains[:-1])
    ]
    return [*sticky, *drawn, f"-j {chains[-1]}"]


def _endpoint_chain(made: Fragment, port: ServicePort, endpoint: Endpoint) -> str:
    chain = chain_name("SEP", port.name, port.protocol, endpoint.address)
    affinity = f"-m recent --name {chain} --set " if port.affinity_seconds else ""
    made.chains[chain] = [
        f"-s {endpoint.ip}/32 {_comment(port.name)} -j {MARK_MASQ}",  # a pod that meets itself
        f"-p {port.protocol} -m {port.protocol} {affinity}-j DNAT --to-destination {endpoint.address}",
    ]
    return chain


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'
