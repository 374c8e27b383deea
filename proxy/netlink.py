"""The one module that speaks netlink: routes, the tunnel, the DNS address, hairpin ports, and news of links.

Our routes carry a protocol number of their own, our address a label of its own: that is how they are found
again after a restart and removed without a trace. Nothing else is ever changed.

The functions block for the moment that the kernel takes. A running event loop calls them in a thread: uvloop
has no netlink sockets, which pyroute2 would open on it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pyroute2 import IPRoute  # type: ignore[import-untyped]  # it ships no types
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]  # as above

from client import log
from proxy.routes import Route
from proxy.tunnel import LINK, PORT, VNI, Peer, inner, mac

__all__ = [
    "NetlinkError", "add_address", "present_routes", "remove_addresses", "set_hairpin", "set_routes",
    "set_tunnel", "watch_links",
]  # fmt: skip

PROTOCOL = 83  # "S"; not taken in /etc/iproute2/rt_protos
LABEL = "lo:sampan"  # a label begins with its device's name

_MAIN = 254
_PERMANENT = 0x80  # NUD_PERMANENT
_ONLINK = 4  # RTNH_F_ONLINK
_SELF = 2  # NTF_SELF: the entry is the VXLAN's own, not a bridge's
_OVERHEAD = 50  # bytes that VXLAN adds to a frame
_LINK_NEWS = 1  # RTMGRP_LINK
_log = log.get("proxy")


# -- routes ---------------------------------------------------------------------------------------------


def set_routes(wanted: set[Route]) -> set[Route]:
    """Add, move and remove ours. Returns those whose gateway is no neighbour: the kernel refuses them."""
    refused = set()
    with IPRoute() as ip:
        present = present_routes(ip)
        kept = {route.destination for route in wanted}
        for route in present - wanted:
            if route.destination not in kept:
                with suppress(NetlinkError):  # it went with its link meanwhile
                    ip.route("del", **_attributes(route))
        for route in sorted(wanted - present):
            try:
                ip.route("replace", **_attributes(route))
            except NetlinkError as error:
                if error.code not in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                    _log.warning("no route", to=route.destination, via=route.gateway, why=str(error))
                refused.add(route)
    return refused


def present_routes(ip: Any, *, through: str = "") -> set[Route]:
    """Ours, as the kernel has them: those to neighbours, or those through the link of that name."""
    tunnel = (*ip.link_lookup(ifname=LINK), 0)[0]
    wanted_tunnel = through == LINK
    return {
        Route(f"{message.get('dst')}/{message['dst_len']}", message.get("gateway"))
        for message in ip.route("dump", family=socket.AF_INET, table=_MAIN)
        if message["proto"] == PROTOCOL and message.get("gateway") and (message.get("oif") == tunnel) == wanted_tunnel
    }


def _attributes(route: Route) -> dict[str, Any]:
    return {"dst": route.destination, "gateway": route.gateway, "proto": PROTOCOL, "table": _MAIN}


# -- the tunnel to nodes of other segments ------------------------------------------------------------------


def set_tunnel(peers: set[Peer], own_ip: str, own_cidr: str) -> None:
    """The VXLAN link with exactly these peers; without peers no link."""
    with IPRoute() as ip:
        found = ip.link_lookup(ifname=LINK)
        if not peers:
            for index in found:
                ip.link("del", index=index)
            return
        index = found[0] if found else _make_tunnel(ip, own_ip, own_cidr)
        present = present_routes(ip, through=LINK)
        wanted = {Route(peer.destination, peer.inner) for peer in peers}
        for route in present - wanted:
            with suppress(NetlinkError):  # another route has taken its place
                ip.route("del", dst=route.destination, oif=index, proto=PROTOCOL, table=_MAIN)
        for peer in sorted(peers):
            ip.neigh("replace", dst=peer.inner, lladdr=peer.mac, ifindex=index, state=_PERMANENT)
            ip.fdb(
                "replace", ifindex=index, lladdr=peer.mac, dst=peer.node_ip, state=_PERMANENT, flags=_SELF
            )  # fmt: skip
            ip.route(
                "replace", dst=peer.destination, gateway=peer.inner, oif=index, proto=PROTOCOL, table=_MAIN,
                flags=_ONLINK,
            )  # fmt: skip


def _make_tunnel(ip: Any, own_ip: str, own_cidr: str) -> int:
    mtu = 1500
    for message in list(ip.addr("dump", family=socket.AF_INET)):
        if message.get("IFA_LOCAL") == own_ip:
            mtu = ip.link("get", index=message["index"])[0].get("IFLA_MTU")
    ip.link(
        "add", ifname=LINK, kind="vxlan", vxlan_id=VNI, vxlan_local=own_ip, vxlan_port=PORT,
        vxlan_learning=False, address=mac(own_ip), mtu=mtu - _OVERHEAD,
    )  # fmt: skip
    index = int(ip.link_lookup(ifname=LINK)[0])
    ip.addr("add", index=index, address=inner(own_cidr), prefixlen=32)
    ip.link("set", index=index, state="up")
    return index


# -- the DNS address --------------------------------------------------------------------------------------


def add_address(address: str) -> None:
    """`address`/32 on lo, and no other of ours. A dummy link would do, but not every kernel has the driver."""
    with IPRoute() as ip:
        _remove_labelled(ip, keep=address)
        try:
            ip.addr("add", index=_lo(ip), address=address, prefixlen=32, label=LABEL)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise


def remove_addresses() -> None:
    with IPRoute() as ip:
        _remove_labelled(ip)


def _remove_labelled(ip: Any, keep: str = "") -> None:
    for message in list(ip.addr("dump", family=socket.AF_INET)):
        address = message.get("IFA_LOCAL")
        if message.get("IFA_LABEL") == LABEL and address != keep:
            ip.addr("del", index=_lo(ip), address=address, prefixlen=32)


def _lo(ip: Any) -> int:
    return int(ip.link_lookup(ifname="lo")[0])


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
    with IPRoute() as ip:
        for master in ip.link_lookup(ifname=bridge):
            for port in list(ip.link("dump", master=master)):
                with suppress(NetlinkError):  # the pod ended meanwhile
                    if not _is_hairpin(port):
                        ip.brport("set", index=port["index"], mode=1)


def _is_hairpin(port: Any) -> bool:
    info = port.get("IFLA_LINKINFO")
    data = info.get("IFLA_INFO_SLAVE_DATA") if info else None
    return bool(data and data.get("IFLA_BRPORT_MODE"))
