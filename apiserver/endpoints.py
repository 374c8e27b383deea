"""The endpoints of the `kubernetes` Service: the addresses of the servers that are alive.

Each server renews a Lease of its own in kube-system, and each writes the addresses of those whose Lease is fresh.
So a server that is gone, or that came back under another address, leaves the Service within half a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from datetime import timedelta

from api import meta, selectors
from api.builtin import ENDPOINT_SLICES, ENDPOINTS, LEASES
from api.errors import AlreadyExists, ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
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
    addresses = await _alive(context)
    await _ensure(context, ENDPOINTS, _endpoints(context, addresses))
    await _ensure(context, ENDPOINT_SLICES, _slice(context, addresses))


async def _renew(context: Context) -> None:
    address = context.options.advertise_address
    name = "apiserver-" + hashlib.sha256(address.encode()).hexdigest()[:26]
    spec = {
        "holderIdentity": address,
        "leaseDurationSeconds": _DURATION,
        "renewTime": meta.rfc3339_micro(context.now()),
    }
    metadata = {"name": name, "namespace": "kube-system", "labels": dict(_IDENTITY)}
    await _ensure(context, LEASES, {"metadata": metadata, "spec": spec})


async def _alive(context: Context) -> list[str]:
    ours = selectors.from_match_labels(_IDENTITY)
    page = await context.store.list(LEASES, "kube-system", labels=ours)
    oldest = context.now() - timedelta(seconds=_DURATION)
    specs = [stored.obj().get("spec") or {} for stored in page.items]
    return sorted(
        {s["holderIdentity"] for s in specs if s.get("renewTime") and meta.parse_time(s["renewTime"]) >= oldest}
    )


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
            await create(context, SELF, res, wanted)
        except AlreadyExists:
            log.debug("another server made %s %s", res.kind, name)
        return
    if transform is not None:
        await change(context, SELF, res, namespace, name, transform)


def _named(labels: dict[str, str]) -> Obj:
    return {"name": "kubernetes", "namespace": "default", "labels": labels}


def _port(context: Context) -> Obj:
    return {"name": "https", "port": context.options.secure_port, "protocol": "TCP"}


def _endpoints(context: Context, addresses: list[str]) -> Obj:
    subset = {"addresses": [{"ip": address} for address in addresses], "ports": [_port(context)]}
    return {"metadata": _named({"endpointslice.kubernetes.io/skip-mirror": "true"}), "subsets": [subset]}


def _slice(context: Context, addresses: list[str]) -> Obj:
    return {
        "metadata": _named({"kubernetes.io/service-name": "kubernetes"}),
        "addressType": "IPv6" if ":" in context.options.advertise_address else "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [_port(context)],
    }
