"""The one module of the proxy that speaks netlink: routes, the tunnel, the DNS address, hairpin ports, news of links.

Our routes carry a protocol number of their own, our address a label of its own: that is how they are found
again after a restart and removed without a trace. Nothing else is ever changed. Refusals are OSError.

The functions block for the moment that the kernel takes. A running event loop calls them in a thread.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from client import log
from client import rtnetlink as rt
from client.rtnetlink import Kernel, attribute, attributes
from proxy.routes import Route
from proxy.tunnel import LINK, PORT, VNI, Peer, inner, mac

PROTOCOL = 83  # "S"; not taken in /etc/iproute2/rt_protos
LABEL = "lo:sampan"  # a label begins with its device's name

_PERMANENT = 0x80  # NUD_PERMANENT
_ONLINK = 4  # RTNH_F_ONLINK
_SELF = 2  # NTF_SELF: the entry is the VXLAN's own, not a bridge's
_NEIGHBOUR, _NEIGHBOUR_MAC = 1, 2  # NDA_DST, NDA_LLADDR
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT = 1, 4, 7, 15
_OVERHEAD = 50  # bytes that VXLAN adds to a frame
_INFO_OF_PORT, _PORT_HAIRPIN = 5, 4  # IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE
_PORT_SETTINGS = 12 | 0x8000  # IFLA_PROTINFO, nested
_LINK_NEWS = 1  # RTMGRP_LINK
_log = log.get("proxy")


# -- routes ---------------------------------------------------------------------------------------------


def set_routes(wanted: set[Route]) -> set[Route]:
    """Add, move and remove ours. Returns those whose gateway is no neighbour: the kernel refuses them."""
    refused = set()
    with Kernel() as kernel:
        present = present_routes(kernel)
        kept = {route.destination for route in wanted}
        for route in present - wanted:
            if route.destination not in kept:
                with suppress(OSError):  # it went with its link meanwhile
                    kernel.ask(rt.DELETE_ROUTE, _route(route))
        for route in sorted(wanted - present):
            try:
                kernel.ask(rt.NEW_ROUTE, _route(route), rt.REPLACE)
            except OSError as error:
                if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                    _log.warning("no route", to=route.destination, via=route.gateway, why=str(error))
                refused.add(route)
    return refused


def present_routes(kernel: Kernel, *, through: str = "") -> set[Route]:
    """Ours, as the kernel has them: those to neighbours, or those through the link of that name."""
    tunnel, found = _index(LINK), set()
    for body in kernel.dump(rt.GET_ROUTE, socket.AF_INET):
        length, table, protocol = body[1], body[4], body[5]
        values = attributes(body[12:])
        gateway = values.get(rt.ROUTE_GATEWAY)
        if table != rt.MAIN_TABLE or protocol != PROTOCOL or gateway is None:
            continue
        tunnelled = bool(tunnel) and values.get(rt.ROUTE_LINK) == rt.number(tunnel)
        if tunnelled == (through == LINK):
            destination = socket.inet_ntoa(values[rt.ROUTE_DESTINATION])
            found.add(Route(f"{destination}/{length}", socket.inet_ntoa(gateway)))
    return found


def _route(route: Route, link: int = 0, flags: int = 0) -> bytes:
    network = ipaddress.IPv4Network(route.destination)
    gateway = socket.inet_aton(route.gateway)
    return rt.of_route(network.network_address.packed, network.prefixlen, gateway, link, by=PROTOCOL, flags=flags)


# -- the tunnel to nodes of other segments ------------------------------------------------------------------


def set_tunnel(peers: set[Peer], own_ip: str, own_cidr: str) -> None:
    """The VXLAN link with exactly these peers; without peers no link."""
    with Kernel() as kernel:
        index = _index(LINK)
        if not peers:
            if index:
                kernel.ask(rt.DELETE_LINK, rt.of_link(index))
            return
        index = index or _make_tunnel(kernel, own_ip, own_cidr)
        wanted = {Route(peer.destination, peer.inner) for peer in peers}
        for route in present_routes(kernel, through=LINK) - wanted:
            with suppress(OSError):  # another route has taken its place
                kernel.ask(rt.DELETE_ROUTE, _route(route, index))
        for peer in sorted(peers):
            kernel.ask(rt.NEW_NEIGHBOUR, _neighbour(socket.AF_INET, index, peer.mac, peer.inner), rt.REPLACE)
            kernel.ask(
                rt.NEW_NEIGHBOUR, _neighbour(socket.AF_BRIDGE, index, peer.mac, peer.node_ip, _SELF), rt.REPLACE
            )  # fmt: skip
            kernel.ask(rt.NEW_ROUTE, _route(Route(peer.destination, peer.inner), index, _ONLINK), rt.REPLACE)


def _neighbour(family: int, index: int, hardware: str, address: str, flags: int = 0) -> bytes:
    head = struct.pack("=BxxxiHBB", family, index, _PERMANENT, flags, 0)
    known = attribute(_NEIGHBOUR_MAC, _mac(hardware))
    return head + known + attribute(_NEIGHBOUR, socket.inet_aton(address))


def _make_tunnel(kernel: Kernel, own_ip: str, own_cidr: str) -> int:
    own = socket.inet_aton(own_ip)
    data = (
        attribute(_VXLAN_ID, rt.number(VNI))
        + attribute(_VXLAN_LOCAL, own)
        + attribute(_VXLAN_PORT, struct.pack("!H", PORT))
        + attribute(_VXLAN_LEARNING, b"\0")
    )
    info = attribute(rt.INFO_KIND, rt.text("vxlan")) + attribute(rt.INFO_DATA, data)
    link = (
        attribute(rt.LINK_NAME, rt.text(LINK))
        + attribute(rt.LINK_ADDRESS, _mac(mac(own_ip)))
        + attribute(rt.LINK_MTU, rt.number(_mtu(kernel, own) - _OVERHEAD))
        + attribute(rt.LINK_INFO, info)
    )
    kernel.ask(rt.NEW_LINK, rt.of_link(0) + link, rt.ADD)
    index = socket.if_nametoindex(LINK)
    kernel.ask(rt.NEW_ADDRESS, rt.of_address(index, socket.inet_aton(inner(own_cidr)), 32), rt.ADD)
    kernel.ask(rt.SET_LINK, rt.of_link(index, up=True))
    return index


def _mtu(kernel: Kernel, address: bytes) -> int:
    """Of the link that has the address."""
    having = {index for index, values in _addresses(kernel) if values.get(rt.ADDRESS_LOCAL) == address}
    for index, values in _links(kernel):
        if index in having:
            return int.from_bytes(values[rt.LINK_MTU], "little")
    return 1500


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


# -- the DNS address --------------------------------------------------------------------------------------


def add_address(address: str) -> None:
    """`address`/32 on lo, and no other of ours. A dummy link would do, but not every kernel has the driver."""
    with Kernel() as kernel:
        wanted = socket.inet_aton(address)
        _remove_labelled(kernel, keep=wanted)
        with suppress(FileExistsError):
            labelled = rt.of_address(_index("lo"), wanted, 32) + attribute(rt.ADDRESS_LABEL, rt.text(LABEL))
            kernel.ask(rt.NEW_ADDRESS, labelled, rt.ADD)


def remove_addresses() -> None:
    with Kernel() as kernel:
        _remove_labelled(kernel)


def _remove_labelled(kernel: Kernel, keep: bytes = b"") -> None:
    for index, values in _addresses(kernel):
        address = values.get(rt.ADDRESS_LOCAL, b"")
        if values.get(rt.ADDRESS_LABEL) == rt.text(LABEL) and address != keep:
            kernel.ask(rt.DELETE_ADDRESS, rt.of_address(index, address, 32))


def _addresses(kernel: Kernel) -> list[tuple[int, dict[int, bytes]]]:
    """(index of the link, attributes) of every IPv4 address."""
    found = kernel.dump(rt.GET_ADDRESS, socket.AF_INET)
    return [(struct.unpack_from("=I", body, 4)[0], attributes(body[8:])) for body in found]


# -- links ------------------------------------------------------------------------------------------------


async def watch_links(changed: Callable[[], None]) -> None:
    """Call `changed` when links come, go or change, until cancelled. What changed is not read."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as news:
        news.setblocking(False)
        news.bind((0, _LINK_NEWS))
        arrived = asyncio.Event()
        loop.add_reader(news, arrived.set)
        try:
            while True:
                await arrived.wait()
                arrived.clear()
                with suppress(BlockingIOError):  # read all there is
                    while True:
                        _receive(news)
                changed()
        finally:
            loop.remove_reader(news)


def _receive(news: socket.socket) -> None:
    try:
        news.recv(65536)
    except BlockingIOError:
        raise
    except OSError:  # more news than the buffer holds: what is lost is unimportant, that there was some is not
        return


def set_hairpin(bridge: str) -> None:
    """Let a frame leave by the bridge port it came in: a pod that reaches itself through its Service.

    By netlink, since /sys shows the links of the network namespace it was mounted in, not of ours.
    """
    master = _index(bridge)
    if not master:
        return
    with Kernel() as kernel:
        for port, values in _links(kernel):
            if values.get(rt.LINK_MASTER) == rt.number(master) and not _is_hairpin(values):
                setting = attribute(_PORT_SETTINGS, attribute(_PORT_HAIRPIN, b"\1"))
                with suppress(OSError):  # the pod ended meanwhile
                    kernel.ask(rt.SET_LINK, rt.of_link(port, family=socket.AF_BRIDGE) + setting)


def _is_hairpin(port: dict[int, bytes]) -> bool:
    settings = attributes(attributes(port.get(rt.LINK_INFO, b"")).get(_INFO_OF_PORT, b""))
    return settings.get(_PORT_HAIRPIN, b"\0") != b"\0"


def _links(kernel: Kernel) -> list[tuple[int, dict[int, bytes]]]:
    """(index, attributes) of every link."""
    return [(struct.unpack_from("=i", body, 4)[0], attributes(body[16:])) for body in kernel.dump(rt.GET_LINK)]


def _index(name: str) -> int:
    """Of the link of that name, 0 when there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
