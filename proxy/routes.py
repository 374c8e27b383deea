"""Nodes → the routes this node needs to reach the others' pods. Pure.

One route per pod CIDR of each other node, via its InternalIP: right for nodes on one L2 segment, where every
node is a direct neighbour; what the kernel refuses for want of a neighbour goes through `proxy.tunnel`.
A node without pod CIDR or InternalIP gets none, a deleted one loses its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from api import meta


@dataclass(frozen=True, slots=True, order=True)
class Route:
    destination: str  # "10.244.2.0/24"
    gateway: str  # "172.30.0.3"


def routes(nodes: Iterable[meta.Obj], own_name: str) -> set[Route]:
    """The first node (by name) that claims a CIDR has it; own CIDRs are reached through the pod bridge."""
    ordered = sorted(nodes, key=lambda node: (meta.name(node) != own_name, meta.name(node)))
    taken: set[str] = set()
    found: set[Route] = set()
    for node in ordered:
        gateway = internal_ip(node)
        for cidr in pod_cidrs(node):
            if cidr not in taken and gateway and meta.name(node) != own_name:
                found.add(Route(cidr, gateway))
            taken.add(cidr)
    return found


def pod_cidrs(node: meta.Obj) -> tuple[str, ...]:
    """The IPv4 pod CIDRs of a node, in canonical form."""
    spec = node.get("spec") or {}
    cidrs = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return tuple(str(ipaddress.IPv4Network(cidr, strict=False)) for cidr in cidrs if ":" not in cidr)


def internal_ip(node: meta.Obj) -> str:
    """The first IPv4 InternalIP; "" while the node has not told it."""
    addresses = (node.get("status") or {}).get("addresses") or []
    return next((a["address"] for a in addresses if a.get("type") == "InternalIP" and ":" not in a["address"]), "")
