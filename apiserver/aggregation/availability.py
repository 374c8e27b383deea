"""Whether API servers behind ours are available: their APIServices say so, and discovery goes by it.

Reasons and wording follow k8s.io/kube-aggregator/pkg/controllers/status/remote.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson

from api import meta, selectors
from api.builtin import API_SERVICES, ENDPOINT_SLICES, SERVICES
from api.errors import ApiError, NotFound
from api.meta import Obj
from apiserver.aggregation.remote import OPENAPI, RemoteApi, Unavailable, identity
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.discovery import from_resource_list
from apiserver.endpoints import SELF
from apiserver.follow import follow
from apiserver.routes.update import change
from apiserver.streaming.later import aiohttp

_PERIOD, _IDLE = 5.0, 300.0
_SETTLE = 0.5  # endpoints change often, and each look asks every server
_TIMEOUT = 6.0
_CHECKER = User("system:kube-aggregator", ("system:masters",))


async def run(context: Context) -> None:
    """Until cancelled."""

    async def look() -> float:
        page = await context.store.list(API_SERVICES, resource_version="0")
        there = [obj for obj in (stored.obj() for stored in page.items) if obj["spec"].get("service")]
        apis = context.aggregation.take(there)
        await asyncio.gather(*(_judge(context, api) for api in apis))
        return _PERIOD if apis else _IDLE

    await follow(context.store, (API_SERVICES, SERVICES, ENDPOINT_SLICES), look, settle=_SETTLE)


async def _judge(context: Context, api: RemoteApi) -> None:
    """Bring the condition of an APIService in line with what is found."""
    condition = {"type": "Available", "status": "True", "reason": "Passed", "message": "all checks passed"}
    try:
        await _check_service(context, api)
        await _discover(context, api)
    except Unavailable as error:
        condition |= {"status": "False", "reason": error.reason, "message": str(error)}
    api.available = condition["status"] == "True"
    if all(api.said.get(key) == value for key, value in condition.items()):
        return

    def transform(current: Obj) -> Obj:
        conditions = current.setdefault("status", {}).setdefault("conditions", [])
        meta.set_condition(conditions, condition, context.now())
        return current

    try:
        await change(context, SELF, API_SERVICES, "", api.name, transform, subresource="status")
    except NotFound:
        return  # it has just been deleted


async def _check_service(context: Context, api: RemoteApi) -> None:
    namespace, name, port = api.service
    within = json.dumps(namespace)
    try:
        spec = (await context.store.get(SERVICES, namespace, name, resource_version="0")).obj()["spec"]
    except NotFound:
        raise Unavailable("ServiceNotFound", f"service/{name} in {within} is not present") from None
    if spec.get("type") != "ClusterIP":
        return
    names = [p.get("name", "") for p in spec.get("ports") or [] if p["port"] == port]
    if not names:
        text = f"service/{name} in {within} is not listening on port {port}"
        raise Unavailable("ServicePortError", text)
    ours = selectors.from_match_labels({"kubernetes.io/service-name": name})
    slices = (await context.store.list(ENDPOINT_SLICES, namespace, labels=ours, resource_version="0")).items
    if not slices:
        raise Unavailable("EndpointsNotFound", f"cannot find endpointslices for service/{name} in {within}")
    if not any(_serves(stored.obj(), names[-1]) for stored in slices):
        shown = json.dumps(names[-1])
        text = f"endpointslices for service/{name} in {within} have no addresses with port name {shown}"
        raise Unavailable("MissingEndpoints", text)


async def _discover(context: Context, api: RemoteApi) -> None:
    """What its server tells of: its resources, and where their OpenAPI document is, if it has one."""
    document = await _ask(context, api, api.path)
    api.resources = from_resource_list(document) if isinstance(document, dict) else []
    if not api.available:
        try:
            index = await _ask(context, api, OPENAPI)
            api.openapi = str(index["paths"][api.path[1:]]["serverRelativeURL"])
        except (Unavailable, LookupError, TypeError):
            api.openapi = ""  # upstream asks for none


async def _ask(context: Context, api: RemoteApi, path: str) -> Any:
    """The JSON at `path` of its server, None when it is something else."""
    try:
        url = f"https://{await context.aggregation.host(api)}{path}"
    except ApiError as error:
        raise Unavailable("FailedDiscoveryCheck", error.message) from error
    why = f"failing or missing response from {url}: "
    headers = [(name.decode(), value.decode()) for name, value in identity(_CHECKER)]
    try:
        async with (
            asyncio.timeout(_TIMEOUT),
            context.proxy.http().get(
                url,
                headers=headers,
                ssl=context.aggregation.tls(api),
                server_hostname=api.server_name,
                allow_redirects=False,
            ) as response,
        ):
            if not 200 <= response.status < 300:
                raise Unavailable("FailedDiscoveryCheck", f"{why}bad status from {url}: {response.status}")
            return orjson.loads(await response.read())
    except TimeoutError:
        raise Unavailable("FailedDiscoveryCheck", f"timed out waiting for {url}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable("FailedDiscoveryCheck", f'{why}Get "{url}": {error}') from error
    except orjson.JSONDecodeError:
        return None  # upstream asks for no more than an answer


def _serves(endpoint_slice: Obj, port: str) -> bool:
    """Whether a ready address of it has the port."""
    ready = any((e.get("conditions") or {}).get("ready") is not False for e in endpoint_slice.get("endpoints") or [])
    return ready and any((p.get("name") or "") == port for p in endpoint_slice.get("ports") or [])
