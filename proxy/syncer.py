"""Keeps the kernel in step with the informers.

`Pulse` joins the news of a moment into one run: the first change is acted on at once, those that follow within
MIN_INTERVAL share the next run. `Syncer.rules` and `Syncer.routes` are the loops: they run on news, retry after
a failure, and look again every RESYNC seconds whether somebody else (dockerd, an administrator) changed
what is ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from api import meta
from client import log, metrics
from client.clock import Clock
from client.informer import Informer
from proxy import conntrack, routes, tunnel
from proxy.endpoints import ZONE, ServicePort, service_ports
from proxy.iptables import Iptables, IptablesError
from proxy.netlink import set_hairpin, set_routes, set_tunnel
from proxy.rules import Network, Tables, tables
from proxy.view import ServiceView, service_of

MIN_INTERVAL = 0.05
RESYNC = 30.0
VERIFY_INTERVAL = 2.0  # after links changed: dockerd restarted, or a pod came
RETRY = 1.0
_log = log.get("proxy")


class Pulse:
    """Many calls of `beat`, few returns of `wait`."""

    def __init__(self, clock: Clock, interval: float) -> None:
        self._clock = clock
        self._interval = interval
        self._event = asyncio.Event()
        self._last = clock.monotonic() - interval

    def beat(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        await self._clock.sleep(max(0.0, self._last + self._interval - self._clock.monotonic()))
        self._event.clear()
        self._last = self._clock.monotonic()

    async def every(self, seconds: float) -> None:
        """Beat regularly, until cancelled."""
        while True:
            await self._clock.sleep(seconds)
            self.beat()


class Syncer:
    def __init__(
        self,
        services: Informer,
        slices: Informer,
        nodes: Informer,
        view: ServiceView,
        *,
        node_name: str,
        node_ip: str,
        network: Network,
        bridge: str,
        clock: Clock,
    ) -> None:
        self._services, self._nodes, self._view = services, nodes, view
        self._node_name, self._node_ip = node_name, node_ip
        self._network, self._bridge, self._clock = network, bridge, clock
        self._iptables = Iptables()
        self._dirty: set[str] = set()
        self._ports: dict[str, list[ServicePort]] = {}
        self._udp: list[ServicePort] | None = None
        self._zone = ""
        self.programmed = False
        self.rules_pulse = Pulse(clock, MIN_INTERVAL)
        self.routes_pulse = Pulse(clock, MIN_INTERVAL)
        self.links_pulse = Pulse(clock, VERIFY_INTERVAL)
        services.on_event(self._service_changed)
        slices.on_event(self._slice_changed)
        nodes.on_event(self._node_changed)

    # -- news -------------------------------------------------------------------------------------------

    def _service_changed(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        self._mark(meta.key(new or old or {"metadata": {}}))

    def _slice_changed(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        for obj in (old, new):
            if obj is not None:
                self._mark(service_of(obj))

    def _node_changed(self, kind: str, old: meta.Obj | None, new: meta.Obj | None) -> None:
        if old is None or new is None or _network_of(old) != _network_of(new):
            self.rules_pulse.beat()
            self.routes_pulse.beat()

    def _mark(self, service_key: str) -> None:
        self._dirty.add(service_key)
        self.rules_pulse.beat()

    # -- rules ------------------------------------------------------------------------------------------

    async def rules(self) -> None:
        """Until cancelled. Begin only when the informers have synced."""
        self._dirty.update(self._services.store.keys())  # what was recalled at the start made no news
        self.rules_pulse.beat()
        await self._forever("rules", self.rules_pulse, self._sync_rules)

    async def _sync_rules(self) -> None:
        began = self._clock.monotonic()
        ports, wanted = self._wanted()
        if await self._iptables.apply(wanted):
            metrics.count("sampan_proxy_syncs")
            _log.debug("rules written", ports=len(ports), seconds=round(self._clock.monotonic() - began, 4))
        self.programmed = True
        udp = [port for port in ports if port.protocol == "udp"]
        if udp != self._udp:
            removed = await conntrack.clean(udp, (self._node_ip, "127.0.0.1"))
            self._udp = udp
            if removed:
                _log.info("stale UDP flows removed", flows=removed)

    def _wanted(self) -> tuple[list[ServicePort], Tables]:
        own = self._nodes.store.get(self._node_name)
        zone = meta.labels(own).get(ZONE, "") if own else ""
        dirty, self._dirty = self._dirty, set()
        if zone != self._zone:
            self._zone = zone
            dirty = set(self._services.store.keys())
        for key in dirty:
            service = self._services.store.get(key)
            if service is None:
                self._ports.pop(key, None)
                continue
            try:
                slices = self._view.slices(key)
                self._ports[key] = service_ports([service], slices, self._node_name, zone)
            except (KeyError, ValueError, TypeError):  # one odd object must not stop all other Services
                metrics.count("sampan_proxy_failures", what="service")
                _log.exception("service cannot be read", service=key)
        ports = [port for key in sorted(self._ports) for port in self._ports[key]]
        network = Network(self._network.cluster_cidr, self._network.cluster_dns, routes.pod_cidrs(own) if own else ())
        return ports, tables(ports, network)

    async def verify(self) -> None:
        """Until cancelled: our chains are whole and first, bridge ports reflect."""
        self.links_pulse.beat()
        await self._forever("verify", self.links_pulse, self._verify)

    async def _verify(self) -> None:
        await asyncio.to_thread(set_hairpin, self._bridge)
        if not await self._iptables.verify():
            metrics.count("sampan_proxy_repairs")
            _log.info("rules repaired", why="somebody else changed or displaced them")

    # -- routes -----------------------------------------------------------------------------------------

    async def routes(self) -> None:
        """Until cancelled. Begin only when the informers have synced."""

        async def sync() -> None:
            wanted = routes.routes(self._nodes.store.list(), self._node_name)
            afar = await asyncio.to_thread(set_routes, wanted)
            own = self._nodes.store.get(self._node_name)
            if own and (cidrs := routes.pod_cidrs(own)):
                peers = {tunnel.peer(route) for route in afar}
                own_ip = self._node_ip or routes.internal_ip(own)
                await asyncio.to_thread(set_tunnel, peers, own_ip, cidrs[0])

        self.routes_pulse.beat()
        await self._forever("routes", self.routes_pulse, sync)

    def links_changed(self) -> None:
        """A link that comes back has lost its routes, a new bridge port must reflect, dockerd may be new."""
        self.links_pulse.beat()
        self.routes_pulse.beat()

    async def _forever(self, what: str, pulse: Pulse, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            await pulse.wait()
            try:
                await step()
            except (IptablesError, OSError) as error:
                metrics.count("sampan_proxy_failures", what=what)
                _log.error("sync failed", what=what, why=str(error))
                await self._clock.sleep(RETRY)
                pulse.beat()
                self.rules_pulse.beat()  # a write that failed leaves the rules unknown: they are written anew


def _network_of(node: meta.Obj) -> tuple[object, ...]:
    """What of a Node matters here: a heartbeat changes none of it."""
    return routes.pod_cidrs(node), routes.internal_ip(node), meta.labels(node).get(ZONE)
