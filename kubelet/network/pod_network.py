"""The node's pod network: a bridge whose subnet is the node's pod CIDR, and the pods plugged into it.

The bridge is that of a Docker network. Docker itself plugs in the pods that publish host ports, with addresses from
the last quarter of the subnet. All others are plugged in here, which takes milliseconds where Docker takes a third
of a second: their sandbox is made without a network, the address it will have is chosen first and written on it as a
label, so that a restarted kubelet knows what is taken and finishes what was begun.

Masquerading is off: the proxy decides what leaves the cluster with which address. On Docker 28 and later direct
routing to containers is opened, since other nodes route here.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from api.meta import Obj
from client import log
from kubelet.docker.labels import NETWORK
from kubelet.docker.runtime import DockerRuntime, Refused, RuntimeFailure
from kubelet.network import netlink
from kubelet.pods.model import Container

BRIDGE = "sampan0"
_PORT = "spn"  # and the first 11 digits of a sandbox's id: a link's name has 15 characters
_DIRECT_ROUTING_SINCE = (28,)
_log = log.get("network")

Subnet = ipaddress.IPv4Network


def network_body(pod_cidr: str, labels: Mapping[str, str], engine: tuple[int, ...]) -> Obj:
    subnet = ipaddress.IPv4Network(pod_cidr)
    options = {
        "com.docker.network.bridge.name": BRIDGE,
        "com.docker.network.bridge.enable_ip_masquerade": "false",
        "com.docker.network.bridge.enable_icc": "true",
    }
    if engine >= _DIRECT_ROUTING_SINCE:
        options["com.docker.network.bridge.gateway_mode_ipv4"] = "nat-unprotected"
    pool = {"Subnet": str(subnet), "IPRange": str(docker_range(subnet)), "Gateway": str(subnet[1])}
    return {
        "Name": NETWORK,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "IPAM": {"Driver": "default", "Config": [pool]},
        "Options": options,
        "Labels": dict(labels),
    }


def docker_range(subnet: Subnet) -> Subnet:
    """What Docker gives out by itself: the last quarter."""
    return list(subnet.subnets(prefixlen_diff=2))[-1]


def free_address(subnet: Subnet, taken: Collection[str], after: str) -> str:
    """The next address in turn, so that one just given back rests a while. "" when all are taken."""
    first, end = int(subnet[2]), int(docker_range(subnet)[0])
    turn = int(ipaddress.IPv4Address(after)) + 1 - first if after else 0
    for step in range(end - first):
        address = str(ipaddress.IPv4Address(first + (turn + step) % (end - first)))
        if address not in taken:
            return address
    return ""


def publishes_host_ports(pod: Mapping[str, Any]) -> bool:
    containers = [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
    return any(port.get("hostPort") for container in containers for port in container.get("ports") or [])


def _port(sandbox: Container) -> str:
    return f"{_PORT}{sandbox.id[:11]}"


class PodNetwork:
    """`sandboxes` are those on the node, as far as they are known."""

    def __init__(self, runtime: DockerRuntime, sandboxes: Callable[[], Iterable[Container]]) -> None:
        self._runtime, self._sandboxes = runtime, sandboxes
        self._subnet: Subnet | None = None
        self._leased, self._plugged, self._before = set[str](), set[str](), set[str]()
        self._last = ""
        self._ready = asyncio.Event()

    async def ensure(self, pod_cidr: str) -> None:
        """Make the network, or make it anew when the node was given another CIDR and no pod uses the old one.

        Refused when it cannot be: the message says why.
        """
        body = network_body(pod_cidr, self._runtime.labels, await self._runtime.engine_version())
        (wanted,) = body["IPAM"]["Config"]
        found = await self._runtime.network(NETWORK)
        present = (((found or {}).get("IPAM") or {}).get("Config") or [{}])[0]
        used = (found or {}).get("Containers") or any(s.own_address and s.running for s in self._sandboxes())
        if found is not None and present != wanted and not used:
            await self._runtime.remove_network(NETWORK)
            found = None
        if found is None:
            await self._runtime.make_network(body)
            present = wanted
        if present.get("Subnet") != wanted["Subnet"]:
            raise Refused(
                f"Docker network {NETWORK} has subnet {present.get('Subnet')}, the node's pod CIDR is {pod_cidr}, "
                "and containers still use the network"
            )
        if not self._ready.is_set():
            self._before = await asyncio.to_thread(netlink.links, _PORT)
        # A network of an earlier release, still in use: there Docker may give out any address, so all are left to it.
        self._subnet = ipaddress.IPv4Network(pod_cidr) if present == wanted else None
        self._ready.set()

    async def adopt(self) -> None:
        """Plug in what a kubelet that was killed had begun. Call it once all containers are known.

        The namespace of a sandbox that Docker has lost may live on, where an engine that was killed still held it. It
        would go on to answer at its address, which is free for others: nobody listens there. Its port is pulled.
        """
        await self._ready.wait()
        for port in self._before - {_port(sandbox) for sandbox in self._sandboxes()}:
            with suppress(RuntimeFailure, OSError):  # OSError: it has gone by itself
                if not await self._runtime.knows(port.removeprefix(_PORT)):
                    _log.info("a port is left of a pod that is not there", port=port)
                    await asyncio.to_thread(netlink.disconnect, port)
        for sandbox in list(self._sandboxes()):
            try:
                await self.connect(sandbox)
            except OSError as error:
                _log.warning("a pod has no network", pod=sandbox.pod_key, why=str(error))

    @contextmanager
    def lease(self, pod: Mapping[str, Any]) -> Iterator[str]:
        """The address for a sandbox that will be ours to plug in; "" when Docker does it, or nobody.

        It is kept until the block ends: by then the sandbox is known, or gone. Refused when there is none left.
        """
        if self._subnet is None or pod["spec"].get("hostNetwork") or publishes_host_ports(pod):
            yield ""
            return
        taken = self._leased.union(*(sandbox.ips for sandbox in self._sandboxes()))
        address = free_address(self._subnet, taken, self._last)
        if not address:
            raise Refused(f"no free address is left in {self._subnet}")
        self._last = address
        self._leased.add(address)
        try:
            yield address
        finally:
            self._leased.discard(address)

    async def connect(self, sandbox: Container) -> None:
        """Plug in a running sandbox, if it is ours to and not done yet. OSError."""
        if self._subnet is None or not sandbox.own_address or not sandbox.running or sandbox.id in self._plugged:
            return
        address = ipaddress.IPv4Interface(f"{sandbox.own_address}/{self._subnet.prefixlen}")
        await asyncio.to_thread(netlink.connect, sandbox.pid, _port(sandbox), BRIDGE, address, self._subnet[1])
        self._plugged = {sandbox.id, *(s.id for s in self._sandboxes() if s.id in self._plugged)}
