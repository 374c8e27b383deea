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


def tables(ports: Iterable[ServicePort], network: Network) -> Tables:
    built = Tables()
    _fixed_chains(built, network)
    addressed: list[str] = []
    for port in ports:
        if network.cluster_dns in port.cluster_ips and not port.anywhere:
            continue  # the cluster DNS Service without pods of its own: this node answers it itself
        addressed += _one_port(built, port, network)
    # Last, so that a service address which is also the node's own is taken as the service's.
    built.nat[SERVICES] = [*addressed, f"-m addrtype --dst-type LOCAL -j {NODEPORTS}"]
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


def _one_port(built: Tables, port: ServicePort, network: Network) -> list[str]:
    """The chains of one service port; returns its rules for nat SAMPAN-SERVICES."""
    svc = chain_name("SVC", port.name, port.protocol)
    svl = chain_name("SVL", port.name, port.protocol)
    ext = chain_name("EXT", port.name, port.protocol)
    firewall = chain_name("FW", port.name, port.protocol)
    note = _comment(port.name)
    proto = f"-p {port.protocol} -m {port.protocol}"
    outside = bool(port.node_port or port.external_ips or port.load_balancer_ips)
    uses_cluster = not port.internal_local or outside
    if port.cluster and uses_cluster:
        built.nat[svc] = _masquerade_foreign(port, network) + _spread(built, port, port.cluster)
    if port.local and (port.internal_local or (port.external_local and outside)):
        built.nat[svl] = _masquerade_foreign(port, network) + _spread(built, port, port.local)

    to_cluster_ip = svl if port.internal_local else svc
    inside_ok = bool(port.local if port.internal_local else port.cluster)
    outside_ok = bool(port.cluster)  # local clients are served even when policy Local finds nothing here
    if outside and outside_ok:
        built.nat[ext] = _external(port, network, svc, svl if svl in built.nat else "")
    if outside_ok and port.load_balancer_ips and port.source_ranges:
        built.nat[firewall] = [f"-s {allowed} {note} -j {ext}" for allowed in port.source_ranges]

    rules: list[str] = []
    blocked = built.filter[SERVICES]
    inside_verdict = _verdict(port.anywhere)
    outside_verdict = "" if port.cluster and not _no_local(port) else _verdict(port.anywhere)
    for ip in port.cluster_ips:
        match = f"{proto} -d {ip}/32 --dport {port.port}"
        if inside_ok:
            rules.append(f"{match} {note} -j {to_cluster_ip}")
        else:
            blocked.append(f"{match} {note} {inside_verdict}")
    for ip in (*port.external_ips, *port.load_balancer_ips):
        match = f"{proto} -d {ip}/32 --dport {port.port}"
        guarded = ip in port.load_balancer_ips and bool(port.source_ranges)
        if outside_ok:
            rules.append(f"{match} {note} -j {firewall if guarded else ext}")
        if guarded:
            blocked.append(f"{match} {note} -j DROP")
        elif outside_verdict:
            blocked.append(f"{match} {note} {outside_verdict}")
    if port.node_port:
        if outside_ok:
            built.nat[NODEPORTS].append(f"{proto} --dport {port.node_port} {note} -j {ext}")
        if outside_verdict:
            blocked.append(f"{proto} -m addrtype --dst-type LOCAL --dport {port.node_port} {note} {outside_verdict}")
    return rules


def _no_local(port: ServicePort) -> bool:
    return port.external_local and not port.local


def _verdict(anywhere: bool) -> str:
    """Nothing serves it: say so at once. Others serve it: be silent, a load balancer will find them."""
    return "-j DROP" if anywhere else "-j REJECT --reject-with icmp-port-unreachable"


def _masquerade_foreign(port: ServicePort, network: Network) -> list[str]:
    """Who is no pod would get the answer from the pod itself, past the node that translated."""
    return [
        f"! -s {network.cluster_cidr} -d {ip}/32 -p {port.protocol} -m {port.protocol} "
        f"--dport {port.port} -j {MARK_MASQ}"
        for ip in port.cluster_ips
    ]


def _external(port: ServicePort, network: Network, svc: str, svl: str) -> list[str]:
    note = _comment(port.name)
    if not port.external_local:
        return [f"{note} -j {MARK_MASQ}", f"-j {svc}"]
    return [
        f"-s {network.cluster_cidr} {note} -j {svc}",
        f"-m addrtype --src-type LOCAL -j {MARK_MASQ}",
        f"-m addrtype --src-type LOCAL -j {svc}",
        *([f"-j {svl}"] if svl else []),
    ]


def _spread(built: Tables, port: ServicePort, endpoints: Sequence[Endpoint]) -> list[str]:
    """Affinity first, then one draw: of n endpoints the i-th takes 1/(n-i) of what reaches it."""
    chains = [_endpoint_chain(built, port, endpoint) for endpoint in endpoints]
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


def _endpoint_chain(built: Tables, port: ServicePort, endpoint: Endpoint) -> str:
    chain = chain_name("SEP", port.name, port.protocol, endpoint.address)
    affinity = f"-m recent --name {chain} --set " if port.affinity_seconds else ""
    built.nat[chain] = [
        f"-s {endpoint.ip}/32 {_comment(port.name)} -j {MARK_MASQ}",  # a pod that meets itself
        f"-p {port.protocol} -m {port.protocol} {affinity}-j DNAT --to-destination {endpoint.address}",
    ]
    return chain


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'
