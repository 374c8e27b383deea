"""UDP flows that conntrack still sends to endpoints which are gone.

A TCP client notices that its peer has gone and connects anew; a UDP client (a resolver, say) that keeps its
source port refreshes the old entry with each packet and is lost for good. So after each change of UDP ports
every entry towards a service address that does not end at one of its present endpoints is removed: the next
packet passes the rules again. What to remove is decided by the pure `stale`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.endpoints import ServicePort
from proxy.iptables import IptablesError, run

_FIELD = re.compile(r"\b(src|dst|sport|dport)=(\S+)")


@dataclass(frozen=True, slots=True)
class Flow:
    source: str
    source_port: int
    destination: str
    port: int
    answered_by: str  # "ip:port" of whoever answers: the endpoint, when the flow was translated


def parse(listing: str) -> list[Flow]:
    """`conntrack -L -p udp`, one flow per line: the original direction, then the reply's."""
    flows = []
    for line in listing.splitlines():
        pairs = _FIELD.findall(line)
        if [key for key, _ in pairs] != ["src", "dst", "sport", "dport"] * 2:
            continue
        values = [value for _, value in pairs]
        flows.append(Flow(values[0], int(values[2]), values[1], int(values[3]), f"{values[4]}:{values[6]}"))
    return flows


def stale(flows: Iterable[Flow], ports: Sequence[ServicePort], node_ips: Iterable[str]) -> list[Flow]:
    """Flows towards a UDP service port that are answered by no usable endpoint of it."""
    endpoints: dict[tuple[str, int], set[str]] = {}
    for port in ports:
        if port.protocol != "udp" or not port.anywhere:
            continue  # without endpoints the rules reject; there is nothing better to send the flow to
        usable = {endpoint.address for endpoint in (*port.cluster, *port.local)}
        for ip in (*port.cluster_ips, *port.external_ips, *port.load_balancer_ips):
            endpoints[ip, port.port] = usable
        for ip in node_ips if port.node_port else ():
            endpoints[ip, port.node_port] = usable
    return [
        flow
        for flow in flows
        if (flow.destination, flow.port) in endpoints and flow.answered_by not in endpoints[flow.destination, flow.port]
    ]


async def clean(ports: Sequence[ServicePort], node_ips: Iterable[str]) -> int:
    """Remove the stale flows of the kernel; how many they were."""
    if not any(port.protocol == "udp" for port in ports):
        return 0
    gone = stale(parse(await run("conntrack", "-L", "-p", "udp")), ports, node_ips)
    removed = 0
    for flow in gone:
        try:
            await run(
                "conntrack", "-D", "-p", "udp", "--orig-src", flow.source, "--orig-dst", flow.destination,
                "--orig-port-src", str(flow.source_port), "--orig-port-dst", str(flow.port),
            )  # fmt: skip
        except IptablesError as error:
            if "0 flow entries" not in str(error):  # it timed out meanwhile
                raise
        else:
            removed += 1
    return removed
