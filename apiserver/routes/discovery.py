"""What the server serves: /api, /apis and below, and the paths of the server at /.

Answers carry an ETag, and a client that has them already is told so. They are kept as bytes under the registry's
generation; what remote API servers contribute changes by itself and is not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from api.errors import NotFound
from api.meta import Obj
from apiserver import discovery, negotiate
from apiserver.context import Context
from apiserver.discovery import Group, Remote
from apiserver.routes.resources import served_subresources

router = APIRouter()
_JSON = "application/json"
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_PLAIN = (
    "/.well-known/openid-configuration", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3",
    "/openid/v1/jwks", "/readyz", "/version",
)  # fmt: skip


@dataclass(slots=True)
class Catalog:
    """What discovery keeps between requests. `remotes` gives what other API servers answer for."""

    remotes: Callable[[], list[Remote]] = list
    _generation: int = -1
    _answers: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def groups(self, context: Context) -> list[Group]:
        return discovery.groups(context.registry, self.remotes())

    def answer(self, context: Context, name: str, make: Callable[[], Obj]) -> tuple[bytes, str]:
        """(body, ETag) of the document of that name."""
        if self._generation != context.registry.generation:
            self._answers.clear()
            self._generation = context.registry.generation
        kept = {} if self.remotes() else self._answers
        if name not in kept:
            body = orjson.dumps(make())
            kept[name] = body, f'"{hashlib.sha512(body).hexdigest().upper()}"'
        return kept[name]


def _answer(request: HttpRequest, name: str, make: Callable[[], Obj], media_type: str = _JSON) -> Response:
    if negotiate.first_of(request.headers.get("accept", ""), (_JSON,)) is None:
        raise negotiate.not_acceptable()
    catalog: Catalog = request.app.state.catalog
    body, tag = catalog.answer(_context(request), name, make)
    headers = {"etag": tag, "vary": "Accept", "cache-control": "public"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _context(request: HttpRequest) -> Context:
    context: Context = request.app.state.context
    return context


def _groups(request: HttpRequest) -> list[Group]:
    catalog: Catalog = request.app.state.catalog
    return catalog.groups(_context(request))


def _group(request: HttpRequest, name: str) -> Group:
    for group in _groups(request):
        if group.name == name:
            return group
    raise NotFound("the server could not find the requested resource")


def _wants_aggregated(request: HttpRequest) -> bool:
    return negotiate.wants_aggregated_discovery(request.headers.get("accept", ""))


@router.get("/")
async def paths(request: HttpRequest) -> Response:
    def make() -> Obj:
        found = {"/api", "/apis", *_PLAIN}
        for row in _context(request).registry:
            found |= {row.root, f"/apis/{row.group}"} if row.group else {row.root}
        return {"paths": sorted(found)}

    return _answer(request, "/", make)


@router.get("/api")
async def core(request: HttpRequest) -> Response:
    if _wants_aggregated(request):
        return _aggregated(request, core=True)
    options = _context(request).options
    address = f"{options.advertise_address}:{options.secure_port}"
    document = {
        "kind": "APIVersions",
        "versions": [version.name for version in _group(request, "").versions],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }
    return _answer(request, "/api", lambda: document)


@router.get("/apis")
async def groups(request: HttpRequest) -> Response:
    if _wants_aggregated(request):
        return _aggregated(request, core=False)
    return _answer(request, "/apis", lambda: discovery.group_list(g for g in _groups(request) if g.name))


def _aggregated(request: HttpRequest, *, core: bool) -> Response:
    def make() -> Obj:
        return discovery.aggregated((g for g in _groups(request) if (g.name == "") == core), served_subresources)

    return _answer(request, f"aggregated {core}", make, _AGGREGATED)


@router.get("/api/{version}")
async def core_resources(request: HttpRequest, version: str) -> Response:
    return _resources(request, "", version)


@router.get("/apis/{group}")
async def group_versions(request: HttpRequest, group: str) -> Response:
    return _answer(request, f"/apis/{group}", lambda: discovery.group_document(_group(request, group)))


@router.get("/apis/{group}/{version}")
async def group_resources(request: HttpRequest, group: str, version: str) -> Response:
    return _resources(request, group, version)


def _resources(request: HttpRequest, group: str, version: str) -> Response:
    name = f"{group}/{version}" if group else version

    def make() -> Obj:
        for each in _group(request, group).versions:
            if each.name == version and each.remote is None:
                return discovery.resource_list(name, each.rows, served_subresources)
        raise NotFound("the server could not find the requested resource")

    return _answer(request, name, make)
