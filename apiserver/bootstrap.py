"""The objects every cluster starts with: four namespaces, and the `kubernetes` Service with its endpoints.

Idempotent, and safe for several servers at once: each adds its own address and none removes another's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from api.builtin import ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, SERVICES
from api.errors import AlreadyExists, ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.routes.create import create
from apiserver.routes.update import change
from apiserver.storage.stored import Stored

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_SELF = User("system:apiserver", ("system:masters",))
_RETRY = 1.0

log = logging.getLogger("apiserver.bootstrap")


async def run(context: Context) -> None:
    """Until it is done; etcd may be late."""
    while True:
        try:
            await _once(context)
        except ApiError as error:
            log.warning("the first objects of the cluster can't be made yet: %s", error)
            await asyncio.sleep(_RETRY)
        else:
            context.bootstrapped.set()
            return


async def _once(context: Context) -> None:
    await context.store.wait_ready()
    for name in _NAMESPACES:
        await _ensure(context, NAMESPACES, {"metadata": {"name": name}})
    await _ensure(context, SERVICES, _service(context))
    await _ensure(context, ENDPOINTS, _endpoints(context))
    await _ensure(context, ENDPOINT_SLICES, _slice(context))
    await _add_address(context, ENDPOINTS, _with_address)
    await _add_address(context, ENDPOINT_SLICES, _with_endpoint)


async def _ensure(context: Context, res: Resource, obj: Obj) -> None:
    metadata = obj["metadata"]
    try:
        await context.store.get(res, metadata.get("namespace", ""), metadata["name"])
    except NotFound:
        try:
            await create(context, _SELF, res, obj)
        except AlreadyExists:
            log.debug("another server made %s %s", res.kind, metadata["name"])


def _named(**more: Any) -> Obj:
    return {"name": "kubernetes", "namespace": "default", **more}


def _service(context: Context) -> Obj:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": context.options.secure_port}
    return {
        "metadata": _named(labels=labels),
        "spec": {"type": "ClusterIP", "clusterIP": context.allocator.first_address, "ports": [port]},
    }


def _port(context: Context) -> Obj:
    return {"name": "https", "port": context.options.secure_port, "protocol": "TCP"}


def _endpoints(context: Context) -> Obj:
    subset = {"addresses": [{"ip": context.options.advertise_address}], "ports": [_port(context)]}
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    return {"metadata": _named(labels=labels), "subsets": [subset]}


def _slice(context: Context) -> Obj:
    return {
        "metadata": _named(labels={"kubernetes.io/service-name": "kubernetes"}),
        "addressType": "IPv6" if ":" in context.options.advertise_address else "IPv4",
        "endpoints": [_endpoint(context)],
        "ports": [_port(context)],
    }


def _endpoint(context: Context) -> Obj:
    return {"addresses": [context.options.advertise_address], "conditions": {"ready": True}}


def _with_address(context: Context, endpoints: Obj) -> Obj:
    subsets: list[Obj] = endpoints.setdefault("subsets", [])
    mine = {"ip": context.options.advertise_address}
    for subset in subsets:
        if subset.get("ports") == [_port(context)]:
            addresses: list[Obj] = subset.setdefault("addresses", [])
            if mine not in addresses:
                addresses.append(mine)
                addresses.sort(key=lambda a: str(a["ip"]))
            return endpoints
    subsets.append(_endpoints(context)["subsets"][0])
    return endpoints


def _with_endpoint(context: Context, endpoint_slice: Obj) -> Obj:
    endpoints: list[Obj] = endpoint_slice.get("endpoints") or []
    if not any(e.get("addresses") == [context.options.advertise_address] for e in endpoints):
        endpoints.append(_endpoint(context))
    endpoint_slice["endpoints"] = endpoints
    return endpoint_slice


async def _add_address(context: Context, res: Resource, add: Any) -> Stored | Obj:
    return await change(context, _SELF, res, "default", "kubernetes", lambda obj: add(context, obj))
