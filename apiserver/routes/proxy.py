"""pods/proxy, services/proxy and nodes/proxy: HTTP to what runs in the cluster, as anyone who may reach the apiserver.

The name may be `name`, `name:port` or `scheme:name:port` (apimachinery/pkg/util/net SplitSchemeNamePort). A pod's
port defaults to the first its spec names; a service's is a port's name or number, and any ready endpoint will do;
a node's is its kubelet's. Certificates of pods and services are not checked, as upstream: they are seldom known.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from functools import cache
from urllib.parse import urlsplit

from api.builtin import PODS
from api.errors import BadRequest
from api.registry import Resource
from apiserver.context import Context
from apiserver.kubelet import address_of
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.pod import admit
from apiserver.routes.table import Handlers
from apiserver.services import endpoint_of
from apiserver.streaming.proxy import slash_redirect

Location = tuple[str, ssl.SSLContext | None]
"""`scheme://host:port`, and how to check it when the scheme is https."""


async def _proxy(context: Context, request: Request, res: Resource) -> Answer:
    before, rest = divide(request)
    await admit(context, request, res, {"kind": f"{res.kind}ProxyOptions", "path": rest})
    base, tls = await _LOCATE[res.plural](context, request)
    if not rest and request.method in ("GET", "HEAD") and "sampan.upgrade" not in request.scope:
        return slash_redirect(request)
    query = request.scope["query_string"].decode("latin-1")
    url = f"{base}{rest or '/'}" + (f"?{query}" if query else "")
    return await context.proxy.relay(request, url, tls=tls, prepend=before)


def divide(request: Request) -> tuple[str, str]:
    """The escaped path up to `/proxy`, and what follows."""
    raw = request.scope["raw_path"].decode("latin-1")
    steps = 7 if request.info.namespace else 5
    before = re.match(rf"(?:/+[^/]+){{{steps}}}", raw)
    end = before.end() if before else len(raw)
    return raw[:end], raw[end:]


def split_name(what: str, name: str) -> tuple[str, str, str]:
    """(scheme, name, port); BadRequest when it is none of the three forms."""
    parts = name.split(":")
    scheme, name_alone, port = {1: ["http", *parts, ""], 2: ["http", *parts], 3: parts}.get(len(parts), ["", "", ""])
    if scheme not in ("", "http", "https") or not name_alone:
        raise BadRequest(f'invalid {what} request "{name}"')
    return scheme or "http", name_alone, port


async def _pod(context: Context, request: Request) -> Location:
    scheme, name, port = split_name("pod", request.info.name)
    pod = (await context.store.get(PODS, request.info.namespace, name)).obj()
    ports = [p for c in pod["spec"].get("containers") or [] for p in c.get("ports") or []]
    port = port or (str(ports[0]["containerPort"]) if ports else "")
    return _url(scheme, (pod.get("status") or {}).get("podIP") or "", port), _unchecked()


async def _service(context: Context, request: Request) -> Location:
    asked, namespace = request.info.name, request.info.namespace
    scheme, name, port = split_name("service", asked)
    address, number = await endpoint_of(context.store, namespace, name, port, asked=asked)
    return _url(scheme, address, str(number)), _unchecked()


async def _node(context: Context, request: Request) -> Location:
    scheme, name, port = split_name("node", request.info.name)
    kubelet = address_of((await context.store.get(context.row("", "v1", "nodes"), "", name)).obj())
    if port in ("", str(kubelet.port)):
        return kubelet.url("https", "", []), context.kubelet.tls
    return _url(scheme, kubelet.host, port), _unchecked()


_LOCATE = {"pods": _pod, "services": _service, "nodes": _node}


def _url(scheme: str, host: str, port: str) -> str:
    """BadRequest for an address or a port that nobody may be sent to."""
    try:
        address = ipaddress.ip_address(host)
        allowed = not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)
    except ValueError:
        allowed = False
    if not allowed:
        raise BadRequest("address not allowed")
    url = f"{scheme}://{f'[{host}]' if address.version == 6 else host}" + (f":{port}" if port else "")
    try:
        urlsplit(url).port  # noqa: B018  # it raises for what is no port
    except ValueError as error:
        raise BadRequest(f"invalid port: {error}") from error
    return url


@cache
def _unchecked() -> ssl.SSLContext:
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


HANDLERS: Handlers = dict.fromkeys(("create", "delete", "get", "patch", "update"), _proxy)
