"""The endpoints of the `kubernetes` Service: the addresses of the servers that are alive.

Each server renews a Lease of its own in kube-system, and each writes the addresses of those whose Lease is fresh.
So a server that is gone, or that came back under another address, leaves the Service within half a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from datetime import timedelta
from ipaddress import ip_address

from api import meta, selectors
from api.builtin import ENDPOINT_SLICES, ENDPOINTS, LEASES
from api.errors import AlreadyExists, ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
from apiserver import managing
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.routes.create import create
from apiserver.routes.update import Transform, change

SELF = User("system:apiserver", ("system:masters",))
_PERIOD, _DURATION = 10, 30
_IDENTITY = {"apiserver.kubernetes.io/identity": "kube-apiserver"}

log = logging.getLogger("apiserver.endpoints")


async def run(context: Context) -> None:
    """Until cancelled. What fails is tried again a period later."""
    while True:
        await asyncio.sleep(_PERIOD)
        try:
            await reconcile(context)
        except ApiError as error:
            log.warning("the endpoints of the kubernetes Service could not be kept: %s", error)


async def reconcile(context: Context) -> None:
    await _renew(context)
    await _publish(context)


async def _publish(context: Context) -> None:
    if alive := await _alive(context):
        await _ensure(context, ENDPOINTS, _endpoints(alive))
        await _ensure(context, ENDPOINT_SLICES, _slice(alive))


async def leave(context: Context) -> None:
    """Take our own address out before we go, if there is another server to go to."""
    try:
        await context.store.delete(LEASES, "kube-system", _lease_name(context))
        await _publish(context)
    except ApiError as error:
        log.warning("our address stays in the kubernetes Service until its lease ends: %s", error)


def _address(context: Context) -> str:
    return f"{context.options.advertise_address}:{context.options.secure_port}"


def _lease_name(context: Context) -> str:
    return "apiserver-" + hashlib.sha256(_address(context).encode()).hexdigest()[:26]


async def _renew(context: Context) -> None:
    spec = {
        "holderIdentity": _address(context),
        "leaseDurationSeconds": _DURATION,
        "renewTime": meta.rfc3339_micro(context.now()),
    }
    metadata = {"name": _lease_name(context), "namespace": "kube-system", "labels": dict(_IDENTITY)}
    await _ensure(context, LEASES, {"metadata": metadata, "spec": spec})


async def _alive(context: Context) -> list[tuple[str, int]]:
    """(address, port) of each server with a fresh Lease, in an order all servers agree on. One at a loopback address
    is nobody else's."""
    ours = selectors.from_match_labels(_IDENTITY)
    page = await context.store.list(LEASES, "kube-system", labels=ours)
    oldest = context.now() - timedelta(seconds=_DURATION)
    specs = [stored.obj().get("spec") or {} for stored in page.items]
    alive: set[tuple[str, int]] = set()
    for spec in specs:
        address, _, port = str(spec.get("holderIdentity", "")).rpartition(":")
        fresh = spec.get("renewTime") and meta.parse_time(spec["renewTime"]) >= oldest
        if fresh and port.isdigit() and not ip_address(address).is_loopback:
            alive.add((address, int(port)))
    return sorted(alive)


async def _ensure(context: Context, res: Resource, wanted: Obj) -> None:
    """Make `wanted`, or bring all but the metadata of what is there to it."""

    def transform(obj: Obj) -> Obj:
        obj.update({k: v for k, v in wanted.items() if k != "metadata"})
        return obj

    await ensure(context, res, wanted, transform)


async def ensure(context: Context, res: Resource, wanted: Obj, transform: Transform | None = None) -> None:
    """Make `wanted` when it is not there, else apply `transform` to what is. Other servers may do the same."""
    namespace, name = meta.namespace(wanted), meta.name(wanted)
    try:
        await context.store.get(res, namespace, name)
    except NotFound:
        try:
            await create(context, SELF, res, wanted, track=managing.own(context, res))
        except AlreadyExists:
            log.debug("another server made %s %s", res.kind, name)
        return
    if transform is not None:
        await change(context, SELF, res, namespace, name, transform, track=managing.own(context, res))


def _named(labels: dict[str, str]) -> Obj:
    return {"name": "kubernetes", "namespace": "default", "labels": labels}


def _port(number: int) -> Obj:
    return {"name": "https", "port": number, "protocol": "TCP"}


def _endpoints(alive: list[tuple[str, int]]) -> Obj:
    ports = sorted({port for _, port in alive})
    subsets = [
        {"addresses": [{"ip": address} for address, at in alive if at == port], "ports": [_port(port)]}
        for port in ports
    ]
    return {"metadata": _named({"endpointslice.kubernetes.io/skip-mirror": "true"}), "subsets": subsets}


def _slice(alive: list[tuple[str, int]]) -> Obj:
    """A slice has one port for all: that of the first server, as all but a test's servers share it."""
    family, port = alive[0][0].count(":") > 0, alive[0][1]
    return {
        "metadata": _named({"kubernetes.io/service-name": "kubernetes"}),
        "addressType": "IPv6" if family else "IPv4",
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}} for a, at in alive if at == port],
        "ports": [_port(port)],
    }
