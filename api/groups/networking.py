"""The rows of networking.k8s.io/v1."""

from __future__ import annotations

from api.kinds import ingress, networking
from api.registry import Resource

_GROUP = "networking.k8s.io"

INGRESSES = Resource(
    _GROUP,
    "v1",
    "Ingress",
    "ingresses",
    "ingress",
    True,
    ("ing",),
    subresources=("status",),
    has_generation=True,
    hooks=ingress.INGRESS,
)
INGRESS_CLASSES = Resource(
    _GROUP,
    "v1",
    "IngressClass",
    "ingressclasses",
    "ingressclass",
    False,
    has_generation=True,
    hooks=ingress.INGRESS_CLASS,
)
NETWORK_POLICIES = Resource(
    _GROUP,
    "v1",
    "NetworkPolicy",
    "networkpolicies",
    "networkpolicy",
    True,
    ("netpol",),
    has_generation=True,
    hooks=networking.NETWORK_POLICY,
)
IP_ADDRESSES = Resource(
    _GROUP, "v1", "IPAddress", "ipaddresses", "ipaddress", False, ("ip",), hooks=networking.IP_ADDRESS
)
SERVICE_CIDRS = Resource(
    _GROUP,
    "v1",
    "ServiceCIDR",
    "servicecidrs",
    "servicecidr",
    False,
    subresources=("status",),
    hooks=networking.SERVICE_CIDR,
)

ROWS = (INGRESS_CLASSES, INGRESSES, IP_ADDRESSES, NETWORK_POLICIES, SERVICE_CIDRS)
