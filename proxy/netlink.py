"""The one module that speaks netlink: routes, the DNS address, hairpin ports, and news of links.

Our routes carry a protocol number of their own, our address a label of its own: that is how they are found
again after a restart and removed without a trace. Nothing else is ever changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]  # it ships no types
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]  # as above
from pyroute2.netlink.rtnl import RTMGRP_LINK  # type: ignore[import-untyped]  # as above

from client import log
from proxy.routes import Route

__all__ = ["LABEL", "PROTOCOL", "Netlink", "NetlinkError", "bridge_ports", "set_hairpin", "watch_links"]

PROTOCOL = 83  # "S"; not taken in /etc/iproute2/rt_protos
LABEL = "lo:sampan"  # a label begins with its device's name

_MAIN = 254
_INET = 2
_EXISTS = 17
_log = log.get("proxy")


class Netlink:
    """`async with Netlink() as net: …`"""

    def __init__(self) -> None:
        self._ip: Any = AsyncIPRoute()

    async def __aenter__(self) -> Netlink:
        await self._ip.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._ip.__aexit__(*exc)

    # -- routes ----------------------------------------------------------------------------------------

    async def routes(self) -> set[Route]:
        """Ours, as the kernel has them."""
        found = set()
        async for message in await self._ip.route("dump", family=_INET, table=_MAIN):
            if message["proto"] == PROTOCOL and message.get("gateway"):
                found.add(Route(f"{message.get('dst')}/{message['dst_len']}", message.get("gateway")))
        return found

    async def set_routes(self, wanted: set[Route]) -> set[Route]:
        """Add, move and remove ours. Returns those the kernel refuses: their gateway is no neighbour."""
        present = await self.routes()
        keep = {route.destination for route in wanted}
        for route in present - wanted:
            if route.destination not in keep:
                await self._delete(route)
        refused = set()
        for route in sorted(wanted - present):
            try:
                await self._ip.route(
                    "replace", dst=route.destination, gateway=route.gateway, proto=PROTOCOL, table=_MAIN
                )
            except NetlinkError as error:
                _log.warning("no route", to=route.destination, via=route.gateway, why=str(error))
                refused.add(route)
        return refused

    async def _delete(self, route: Route) -> None:
        with suppress(NetlinkError):  # it went with its link meanwhile
            await self._ip.route("del", dst=route.destination, gateway=route.gateway, proto=PROTOCOL, table=_MAIN)

    # -- the DNS address -------------------------------------------------------------------------------

    async def add_address(self, address: str) -> None:
        """`address`/32 on lo. A dummy link would do as well, but not every kernel has the driver."""
        lo = await self._lo()
        for old in await self._labelled():
            if old != address:
                await self._ip.addr("del", index=lo, address=old, prefixlen=32)
        try:
            await self._ip.addr("add", index=lo, address=address, prefixlen=32, label=LABEL)
        except NetlinkError as error:
            if error.code != _EXISTS:
                raise

    async def remove_addresses(self) -> None:
        for address in await self._labelled():
            await self._ip.addr("del", index=await self._lo(), address=address, prefixlen=32)

    async def _labelled(self) -> list[str]:
        return [
            str(message.get("IFA_LOCAL"))
            async for message in await self._ip.addr("dump", family=_INET)
            if message.get("IFA_LABEL") == LABEL
        ]

    async def _lo(self) -> int:
        return int((await self._ip.link_lookup(ifname="lo"))[0])


async def watch_links(changed: Callable[[], None]) -> None:
    """Call `changed` for every link that comes, goes or changes, until cancelled."""
    ip: Any = AsyncIPRoute()
    async with ip:
        await ip.bind(groups=RTMGRP_LINK)
        while True:
            async for _ in ip.get():
                changed()
            await asyncio.sleep(0)


def set_hairpin(ports: Iterable[Path]) -> None:
    """Let a frame leave by the bridge port it came in: a pod that reaches itself through its Service."""
    for port in ports:
        switch = port / "hairpin_mode"
        with suppress(FileNotFoundError):  # the pod ended meanwhile
            if switch.read_text().strip() != "1":
                switch.write_text("1")


def bridge_ports(bridge: str) -> list[Path]:
    return [entry.resolve() for entry in Path("/sys/class/net", bridge, "brif").glob("*")]
