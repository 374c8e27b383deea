"""What the server serves: aggregated discovery (apidiscovery.k8s.io/v2) and the older documents.

Aggregated: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
"""

from __future__ import annotations

import hashlib

import orjson
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from api.errors import NotFound
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver import negotiate
from apiserver.context import Context
from apiserver.routes.resources import served_subresources

router = APIRouter()
_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# What a subresource reads and writes when that is not its resource's own kind.
_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "eviction": ("policy", "v1", "Eviction"),
    "binding": ("", "v1", "Binding"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
}


def _groups(registry: Registry) -> dict[str, dict[str, list[Resource]]]:
    """group → version → rows, in the table's order."""
    found: dict[str, dict[str, list[Resource]]] = {}
    for row in registry:
        found.setdefault(row.group, {}).setdefault(row.version, []).append(row)
    return found


def _kind_of(row: Resource, subresource: str) -> tuple[str, str, str]:
    return _KINDS.get(subresource, (row.group, row.version, row.kind))


def _aggregated_resource(row: Resource) -> Obj:
    kind = {"group": row.group, "version": row.version, "kind": row.kind}
    entry: Obj = {
        "resource": row.plural,
        "responseKind": kind,
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": sorted(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    subresources = []
    for name, verbs in served_subresources(row).items():
        group, version, of = _kind_of(row, name)
        subresources.append(
            {
                "subresource": name,
                "responseKind": {"group": group, "version": version, "kind": of},
                "verbs": list(verbs),
            }
        )
    if subresources:
        entry["subresources"] = subresources
    return entry


def _aggregated(registry: Registry, *, core: bool) -> Obj:
    items = []
    for group, versions in _groups(registry).items():
        if (group == "") != core:
            continue
        items.append(
            {
                "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
                "versions": [
                    {
                        "version": version,
                        "resources": [_aggregated_resource(r) for r in sorted(rows, key=lambda r: r.plural)],
                        "freshness": "Current",
                    }
                    for version, rows in versions.items()
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _group(name: str, versions: list[str]) -> Obj:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _group_list(registry: Registry) -> Obj:
    groups = [_group(g, list(versions)) for g, versions in _groups(registry).items() if g]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _resource_list(group_version: str, rows: list[Resource]) -> Obj:
    entries: list[Obj] = []
    for row in sorted(rows, key=lambda r: r.plural):
        entry: Obj = {
            "name": row.plural,
            "singularName": row.singular,
            "namespaced": row.namespaced,
            "kind": row.kind,
            "verbs": sorted(row.verbs),
        }
        if row.short_names:
            entry["shortNames"] = list(row.short_names)
        if row.categories:
            entry["categories"] = list(row.categories)
        if "list" in row.verbs:
            entry["storageVersionHash"] = hashlib.sha256(f"{group_version}/{row.kind}".encode()).hexdigest()[:12]
        entries.append(entry)
        for name, verbs in served_subresources(row).items():
            group, version, kind = _kind_of(row, name)
            sub: Obj = {
                "name": f"{row.plural}/{name}",
                "singularName": "",
                "namespaced": row.namespaced,
                "kind": kind,
                "verbs": list(verbs),
            }
            if (group, version) != (row.group, row.version):
                sub |= {"group": group, "version": version}
            entries.append(sub)
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def _answer(request: HttpRequest, document: Obj, content_type: str = "application/json") -> Response:
    """With an ETag, and without a body when the client has it already."""
    body = orjson.dumps(document)
    tag = f'"{hashlib.sha256(body).hexdigest().upper()[:64]}"'
    headers = {"etag": tag, "vary": "Accept"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=content_type, headers=headers)


def _context(request: HttpRequest) -> Context:
    context: Context = request.app.state.context
    return context


def _wants_aggregated(request: HttpRequest) -> bool:
    return negotiate.wants_aggregated_discovery(request.headers.get("accept", ""))


@router.get("/")
async def paths(request: HttpRequest) -> Response:
    found = {"/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"}
    for row in _context(request).registry:
        found |= {row.root, f"/apis/{row.group}"} if row.group else {row.root}
    return _answer(request, {"paths": sorted(found)})


@router.get("/api")
async def core_versions(request: HttpRequest) -> Response:
    context = _context(request)
    if _wants_aggregated(request):
        return _answer(request, _aggregated(context.registry, core=True), _AGGREGATED)
    address = f"{context.options.advertise_address}:{context.options.secure_port}"
    document = {
        "kind": "APIVersions",
        "versions": list(_groups(context.registry)[""]),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }
    return _answer(request, document)


@router.get("/apis")
async def groups(request: HttpRequest) -> Response:
    registry = _context(request).registry
    if _wants_aggregated(request):
        return _answer(request, _aggregated(registry, core=False), _AGGREGATED)
    return _answer(request, _group_list(registry))


@router.get("/api/{version}")
async def core_resources(request: HttpRequest, version: str) -> Response:
    return _resources(request, "", version)


@router.get("/apis/{group}")
async def group_versions(request: HttpRequest, group: str) -> Response:
    versions = _groups(_context(request).registry).get(group)
    if not versions:
        raise NotFound("the server could not find the requested resource")
    return _answer(request, {"kind": "APIGroup", "apiVersion": "v1", **_group(group, list(versions))})


@router.get("/apis/{group}/{version}")
async def group_resources(request: HttpRequest, group: str, version: str) -> Response:
    return _resources(request, group, version)


def _resources(request: HttpRequest, group: str, version: str) -> Response:
    rows = _groups(_context(request).registry).get(group, {}).get(version)
    if not rows:
        raise NotFound("the server could not find the requested resource")
    return _answer(request, _resource_list(f"{group}/{version}" if group else version, rows))
