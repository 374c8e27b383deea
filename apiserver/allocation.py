"""Cluster IPs and node ports of Services.

Two Services never hold the same one: each is a claim (`hooks.claims`) that etcd stores with the Service in one
transaction. This module only proposes: it reads which are taken from the cache, and tries again when another
writer was faster. Bands and wording follow k8s.io/kubernetes/pkg/registry/core/service.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import orjson

from api import meta
from api.builtin import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from api.errors import ApiError, FieldError, InternalError, already_exists, invalid, invalid_object
from api.kinds.service import needs_health_check
from api.meta import Obj
from apiserver.storage.store import Store
from apiserver.storage.stored import Page

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


@dataclass(slots=True)
class _Chosen:
    """What was picked for one Service, and what is wrong with what it asks for."""

    claims: set[str] = field(default_factory=set)
    errors: list[FieldError] = field(default_factory=list)


class Allocator:
    def __init__(self, store: Store, service_range: Network, node_ports: tuple[int, int]) -> None:
        self._store = store
        self._range = service_range
        self._ports = node_ports

    @property
    def default_range(self) -> Network:
        return self._range

    async def _ranges(self) -> list[Network]:
        """The range of the cluster, then those that ServiceCIDRs add. One that is going is not given from any more."""
        page = await self._store.list(SERVICE_CIDRS, resource_version="0")
        cidrs = [c for s in page.items if not meta.is_deleting(obj := s.obj()) for c in obj["spec"]["cidrs"]]
        more = [network for network in map(ipaddress.ip_network, cidrs) if network.version == self._range.version]
        return list(dict.fromkeys([self._range, *more]))

    @property
    def first_address(self) -> str:
        """The address of the `kubernetes` Service."""
        return str(self._range[1])

    async def assign(self, service: Obj, old: Obj | None, avoid: set[str]) -> set[str]:
        """Fill in what is unset; keep from `old` what the client left out. Invalid when out of range.

        `avoid` are claims that were just found to be taken. Returns the claims that were picked here, so that a
        lost race is told from a bad request.
        """
        chosen = _Chosen()
        spec = service["spec"]
        if old is not None:
            _keep(spec, old["spec"])
        if spec.get("type") == "ExternalName":
            return chosen.claims
        await self._assign_address(spec, old, avoid, chosen)
        self._assign_families(spec, chosen)
        await self._assign_ports(spec, old, avoid, chosen)
        if needs_health_check(spec) and not spec.get("healthCheckNodePort"):
            picked = self._pick_port(
                await self._taken_ports(avoid) | {p.get("nodePort") for p in spec.get("ports") or ()}
            )
            spec["healthCheckNodePort"] = picked
            chosen.claims.add(f"nodeport/TCP/{picked}")
        if chosen.errors:
            raise invalid_object("", "Service", meta.name(service), chosen.errors)
        return chosen.claims

    async def _assign_address(self, spec: Obj, old: Obj | None, avoid: set[str], chosen: _Chosen) -> None:
        address = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or []), "")
        if not address:
            address = await self._pick_address(avoid)
            chosen.claims.add(f"clusterip/{address}")
        elif address != "None" and (old is None or old["spec"].get("clusterIP") != address):
            await self._check_address(address, chosen)
        spec["clusterIP"] = address
        spec["clusterIPs"] = spec.get("clusterIPs") or [address]

    def _assign_families(self, spec: Obj, chosen: _Chosen) -> None:
        """The cluster has addresses of one family. Who lists endpoints by hand may list both."""
        mine, other = ("IPv4", "IPv6") if self._range.version == 4 else ("IPv6", "IPv4")
        families = spec["ipFamilies"] = spec.get("ipFamilies") or [mine]
        if spec["clusterIP"] == "None" and not spec.get("selector"):
            if spec.setdefault("ipFamilyPolicy", "RequireDualStack") != "SingleStack" and len(families) < 2:
                spec["ipFamilies"] = [families[0], other if families[0] == mine else mine]
            return
        policy, at = spec.setdefault("ipFamilyPolicy", "SingleStack"), "spec.ipFamilyPolicy"
        if policy == "RequireDualStack":
            why = "this cluster is not configured for dual-stack services"
            chosen.errors.append(invalid(at, policy, why))
        if policy == "SingleStack" and len(families) > 1:
            why = "must be RequireDualStack or PreferDualStack when multiple IP families are specified"
            chosen.errors.append(invalid(at, policy, why))
        for index, family in enumerate(families):
            if family == other:
                why = "not configured on this cluster"
                chosen.errors.append(invalid(f"spec.ipFamilies[{index}]", family, why))

    async def _check_address(self, address: str, chosen: _Chosen) -> None:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return  # validation tells of it
        if not any(parsed in r and parsed not in (r[0], r[-1]) for r in await self._ranges()):
            chosen.errors.append(
                _address_error(address, f"the provided IP ({address}) is not in the valid range. "
                               f"The range of valid IPs is {self._range}")
            )  # fmt: skip

    async def _pick_address(self, avoid: set[str]) -> str:
        page = await self._services(avoid)
        taken = {s.fields.get("spec.clusterIP", "") for s in page.items}
        taken |= {claim.removeprefix("clusterip/") for claim in avoid}
        for network in await self._ranges():
            last = min(network.num_addresses - 2, 65534)
            static = min(max(16, network.num_addresses // 16), 256)
            offset = _pick(1, last, static, partial(_is_taken, network, taken))
            if offset is not None:
                return str(network[offset])
        raise InternalError("failed to allocate a serviceIP: range is full")

    async def _services(self, avoid: set[str]) -> Page:
        """From the cache at first; as they are now once that has turned out to be behind."""
        return await self._store.list(SERVICES, resource_version="" if avoid else "0")

    async def _assign_ports(self, spec: Obj, old: Obj | None, avoid: set[str], chosen: _Chosen) -> None:
        ports: list[Obj] = spec.get("ports") or []
        if spec.get("type") not in _WITH_NODE_PORTS or (
            spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False
        ):
            return
        first, last = self._ports
        mine = {p.get("nodePort") for p in (old or {"spec": {}})["spec"].get("ports") or []}
        by_port: dict[int, int] = {}
        for index, port in enumerate(ports):
            given = port.get("nodePort")
            if given:
                if not first <= given <= last and given not in mine:
                    why = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
                    chosen.errors.append(invalid(f"spec.ports[{index}].nodePort", given, why))
                by_port.setdefault(port.get("port", 0), given)
        taken: set[int] | None = None
        for port in ports:
            if port.get("nodePort"):
                continue
            if taken is None:
                taken = await self._taken_ports(avoid)
                taken |= {p["nodePort"] for p in ports if p.get("nodePort")}
            # The same port of another protocol shares its number, as DNS over UDP and TCP wants.
            picked = by_port.get(port.get("port", 0))
            if picked is None or _claim(port, picked) in avoid:
                picked = self._pick_port(taken)
            taken.add(picked)
            by_port[port.get("port", 0)] = port["nodePort"] = picked
            chosen.claims.add(_claim(port, picked))

    def _pick_port(self, taken: set[int]) -> int:
        first, last = self._ports
        static = min(max(16, (last - first + 1) // 32), 128)
        picked = _pick(first, last, static, lambda n: n in taken)
        if picked is None:
            raise InternalError("failed to allocate a nodePort: range is full")
        return picked

    async def _taken_ports(self, avoid: set[str]) -> set[int]:
        taken = {int(claim.rpartition("/")[2]) for claim in avoid if claim.startswith("nodeport/")}
        page = await self._services(avoid)
        for stored in page.items:
            if stored.fields.get("spec.type") in _WITH_NODE_PORTS:
                spec = orjson.loads(stored.raw)["spec"]
                taken |= {p["nodePort"] for p in spec.get("ports") or [] if p.get("nodePort")}
                taken |= {spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set()
        return taken


def _is_taken(network: Network, taken: set[str], offset: int) -> bool:
    return str(network[offset]) in taken


def _claim(port: Obj, number: int) -> str:
    return f"nodeport/{port.get('protocol', 'TCP')}/{number}"


def _pick(first: int, last: int, static: int, taken: Callable[[int], bool]) -> int | None:
    """A free number, at random from above the static band, then from it; None when all are taken."""
    for low, high in ((min(first + static, last), last), (first, min(first + static, last) - 1)):
        if low > high:
            continue
        for _ in range(8):
            number = random.randint(low, high)
            if not taken(number):
                return number
        start = random.randint(low, high)
        for number in itertools.chain(range(start, high + 1), range(low, start)):
            if not taken(number):
                return number
    return None


def _keep(spec: Obj, before: Obj) -> None:
    """What a client leaves out of an update stays: the address, and node ports by protocol and port."""
    kind, was = spec.get("type"), before.get("type")
    if kind != "ExternalName" and was != "ExternalName":
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIP"] = before.get("clusterIP")
            spec["clusterIPs"] = before.get("clusterIPs")
        elif not spec.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP"):
            spec["clusterIPs"] = before.get("clusterIPs")
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if name in before:
                spec.setdefault(name, before[name])
    old_ports = before.get("ports") or []
    if kind in _WITH_NODE_PORTS and was in _WITH_NODE_PORTS:
        numbers = {(p.get("protocol", "TCP"), p["port"]): p.get("nodePort") for p in old_ports}
        used = {p.get("nodePort") for p in spec.get("ports") or []}
        for port in spec.get("ports") or []:
            number = numbers.get((port.get("protocol", "TCP"), port.get("port")))
            if not port.get("nodePort") and number and number not in used:
                port["nodePort"] = number
    elif kind not in _WITH_NODE_PORTS and was in _WITH_NODE_PORTS:
        old_numbers = {p.get("nodePort") for p in old_ports}
        for port in spec.get("ports") or []:
            if port.get("nodePort") in old_numbers:
                port.pop("nodePort", None)
    if kind == "ExternalName" and was != "ExternalName" and spec.get("clusterIP") == before.get("clusterIP"):
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)


def _address_error(address: str, why: str) -> FieldError:
    shown = f'["{address}"]'
    return FieldError(
        "FieldValueInvalid", "spec.clusterIPs", f"Invalid value: {shown}: failed to allocate IP {address}: {why}"
    )


def taken(service: Obj, claim: str) -> ApiError:
    """The refusal of an address or port that the client named and another Service holds, or another IPAddress."""
    kind, _, value = claim.partition("/")
    if service.get("kind") == IP_ADDRESSES.kind:
        return already_exists(IP_ADDRESSES.group, IP_ADDRESSES.plural, value)
    if kind == "clusterip":
        error = _address_error(value, "provided IP is already allocated")
    else:
        protocol, _, number = value.partition("/")
        ports = service["spec"].get("ports") or []
        index = next(
            (
                i for i, p in enumerate(ports)
                if str(p.get("nodePort")) == number and p.get("protocol", "TCP") == protocol
            ), 0,
        )  # fmt: skip
        error = invalid(f"spec.ports[{index}].nodePort", int(number), "provided port is already allocated")
    return invalid_object("", "Service", meta.name(service), [error])
