"""Numbers of the VXLAN that joins nodes of different segments. Pure: every node works out every other's.

A node's end has a MAC made from its InternalIP and, as its address inside, the first address of its pod CIDR
(which no pod gets). So a peer needs nothing that the Node object does not say: no learning, no flooding.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from proxy.routes import Route

LINK = "sampan-vx"
VNI = 83
PORT = 8472  # the kernel's own default, and flannel's


@dataclass(frozen=True, slots=True, order=True)
class Peer:
    """The far end of a route whose gateway is no neighbour."""

    destination: str  # its pod CIDR
    node_ip: str
    mac: str
    inner: str


def peer(route: Route) -> Peer:
    return Peer(route.destination, route.gateway, mac(route.gateway), inner(route.destination))


def inner(pod_cidr: str) -> str:
    """`10.244.2.0` for `10.244.2.0/24`."""
    return str(ipaddress.IPv4Network(pod_cidr)[0])


def mac(node_ip: str) -> str:
    """`02:53:c0:00:02:07` for `192.0.2.7`: locally administered, unicast."""
    return ":".join(f"{byte:02x}" for byte in (0x02, 0x53, *ipaddress.IPv4Address(node_ip).packed))
