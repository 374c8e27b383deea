"""The node's pod network: a Docker bridge network whose subnet is the node's pod CIDR.

Masquerading is off: the proxy decides what leaves the cluster with which address. On Docker 28 and later direct
routing to containers is opened, since other nodes route here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from api.meta import Obj
from kubelet.docker_labels import NETWORK
from kubelet.docker_runtime import DockerRuntime, Refused

BRIDGE = "sampan0"
_DIRECT_ROUTING_SINCE = (28,)


def network_body(pod_cidr: str, labels: Mapping[str, str], engine: tuple[int, ...]) -> Obj:
    subnet = ipaddress.ip_network(pod_cidr)
    options = {
        "com.docker.network.bridge.name": BRIDGE,
        "com.docker.network.bridge.enable_ip_masquerade": "false",
        "com.docker.network.bridge.enable_icc": "true",
    }
    if engine >= _DIRECT_ROUTING_SINCE:
        options["com.docker.network.bridge.gateway_mode_ipv4"] = "nat-unprotected"
    return {
        "Name": NETWORK,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": str(subnet), "Gateway": str(subnet[1])}]},
        "Options": options,
        "Labels": dict(labels),
    }


def subnet_of(network: Mapping[str, Any]) -> str:
    config = (network.get("IPAM") or {}).get("Config") or [{}]
    return str(config[0].get("Subnet", ""))


async def ensure(runtime: DockerRuntime, pod_cidr: str) -> None:
    """Make the network, or make it anew when the node was given another CIDR and no pod uses the old one.

    Refused when it cannot be: the message says why.
    """
    found = await runtime.network(NETWORK)
    if found is not None and subnet_of(found) == pod_cidr:
        return
    if found is not None:
        if found.get("Containers"):
            raise Refused(
                f"Docker network {NETWORK} has subnet {subnet_of(found)}, the node's pod CIDR is {pod_cidr}, "
                "and containers still use the network"
            )
        await runtime.remove_network(NETWORK)
    body = network_body(pod_cidr, runtime.labels, await runtime.engine_version())
    await runtime.make_network(body)
