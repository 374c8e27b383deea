"""IPAddress objects follow the cluster IPs of Services, and ServiceCIDRs become ready or go.

Who holds an address is settled by the claim that is written with its Service (see allocation.py); the IPAddress tells
of it a moment later. One that names something else than a Service holds the same claim, so that no Service gets it.

https://kubernetes.io/docs/concepts/cluster-administration/networking/ (KEP-1880)
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Any

from api import meta
from api.builtin import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from api.errors import NotFound
from api.meta import Obj
from apiserver.context import Context
from apiserver.deletion import DeleteOptions
from apiserver.endpoints import SELF, ensure
from apiserver.follow import follow
from apiserver.routes.delete import delete
from apiserver.routes.update import change

_PERIOD = 60.0
_DEFAULT = "kubernetes"
_FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_READY = "Kubernetes Service CIDR is ready"
_DEFAULT_READY = "Kubernetes default Service CIDR is ready"
_IN_USE = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"


async def run(context: Context) -> None:
    """Until cancelled."""
    known: dict[str, tuple[int, Obj]] = {}

    async def look() -> float:
        await _addresses(context, known)
        await _ranges(context)
        return _PERIOD

    await follow(context.store, (SERVICES, IP_ADDRESSES, SERVICE_CIDRS), look)


async def _addresses(context: Context, known: dict[str, tuple[int, Obj]]) -> None:
    """`known` keeps each parent by the revision it was read at, so that thousands of addresses are not read again."""
    services = await context.store.list(SERVICES, resource_version="0")
    held = {s.fields.get("spec.clusterIP", ""): s for s in services.items}
    there = {stored.name: stored for stored in (await context.store.list(IP_ADDRESSES, resource_version="0")).items}
    for address, service in held.items():
        if address not in ("", "None") and address not in there:
            await ensure(context, IP_ADDRESSES, _address(address, service.namespace, service.name))
    for address, stored in there.items():
        if known.get(address, (0, {}))[0] != stored.revision:
            known[address] = stored.revision, stored.obj()["spec"]["parentRef"]
        parent, service_of = known[address][1], held.get(address)
        if parent.get("resource") != "services" or parent.get("group"):
            continue
        if service_of is None or (service_of.namespace, service_of.name) != (parent.get("namespace"), parent["name"]):
            with suppress(NotFound):  # another server was faster
                await delete(context, SELF, IP_ADDRESSES, "", address, DeleteOptions())
    for address in known.keys() - there.keys():
        del known[address]


def _address(address: str, namespace: str, name: str) -> Obj:
    labels = {
        "ipaddress.kubernetes.io/ip-family": f"IPv{ipaddress.ip_address(address).version}",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    parent = {"resource": "services", "namespace": namespace, "name": name}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}}


async def _ranges(context: Context) -> None:
    default = {"metadata": {"name": _DEFAULT}, "spec": {"cidrs": [str(context.allocator.default_range)]}}
    await ensure(context, SERVICE_CIDRS, default)
    ranges = [stored.obj() for stored in (await context.store.list(SERVICE_CIDRS, resource_version="0")).items]
    for service_cidr in ranges:
        name, finalizers = meta.name(service_cidr), service_cidr["metadata"].get("finalizers") or []
        if not meta.is_deleting(service_cidr):
            if _FINALIZER not in finalizers:
                await _change(context, name, metadata={"finalizers": [*finalizers, _FINALIZER]})
            message = _DEFAULT_READY if name == _DEFAULT else _READY
            await _condition(context, service_cidr, status="True", message=message)
        elif _FINALIZER in finalizers:
            others = [other for other in ranges if other is not service_cidr and not meta.is_deleting(other)]
            if await _in_use(context, service_cidr, others):
                await _condition(context, service_cidr, status="False", reason="Terminating", message=_IN_USE)
            else:
                await _change(context, name, metadata={"finalizers": [f for f in finalizers if f != _FINALIZER]})


async def _in_use(context: Context, service_cidr: Obj, others: list[Obj]) -> bool:
    """Whether an address lies in it and in no other."""
    addresses = (await context.store.list(IP_ADDRESSES)).items
    return any(
        _covers(service_cidr, stored.name) and not any(_covers(other, stored.name) for other in others)
        for stored in addresses
    )


def _covers(service_cidr: Obj, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    networks = map(ipaddress.ip_network, service_cidr["spec"]["cidrs"])
    return any(ip.version == network.version and ip in network for network in networks)


async def _condition(context: Context, service_cidr: Obj, *, reason: str = "", **said: str) -> None:
    wanted = {"type": "Ready", "reason": reason, **said}
    found = meta.get_condition(service_cidr, "Ready") or {}
    if {k: found.get(k) for k in wanted} != wanted:
        conditions = [{"lastTransitionTime": meta.rfc3339(context.now()), **wanted}]
        await _change(context, meta.name(service_cidr), "status", status={"conditions": conditions})


async def _change(context: Context, name: str, subresource: str = "", **parts: Any) -> None:
    def transform(obj: Obj) -> Obj:
        return obj | {k: {**obj.get(k, {}), **v} for k, v in parts.items()}

    await change(context, SELF, SERVICE_CIDRS, "", name, transform, subresource=subresource)
