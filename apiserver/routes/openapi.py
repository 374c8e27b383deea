"""/openapi/v3: an index, and per group version a document of its paths and schemas, made on first request.

Rich enough for `kubectl apply`, `diff` and `explain`: every PATCH operation names its kind and takes
`fieldValidation`, and every schema of a kind carries its group, version and kind.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from api import schemas
from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from apiserver.context import Context
from apiserver.routes.resources import served_subresources

router = APIRouter()
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_ALWAYS = (f"{_META}.Status", f"{_META}.DeleteOptions", f"{_META}.Patch")
_PATCHES = ("application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json")
_OPERATIONS = {
    "get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "delete",
}  # fmt: skip
_ACTIONS = {"create": "post", "update": "put"}


def _documents(context: Context) -> dict[str, list[Resource]]:
    """`api/v1` → its rows."""
    found: dict[str, list[Resource]] = {}
    for row in context.registry:
        found.setdefault(row.root[1:], []).append(row)
    return found


@router.get("/openapi/v3")
async def index(request: HttpRequest) -> Response:
    context: Context = request.app.state.context
    paths = {
        name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={_fingerprint(rows)}"}
        for name, rows in _documents(context).items()
    }
    return Response(orjson.dumps({"paths": paths}), media_type="application/json")


@router.get("/openapi/v3/{name:path}")
async def document(request: HttpRequest, name: str) -> Response:
    context: Context = request.app.state.context
    rows = _documents(context).get(name.strip("/"))
    if rows is None:
        raise NotFound("the server could not find the requested resource")
    tag = f'"{_fingerprint(rows)}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return Response(_body(rows), media_type="application/json", headers={"etag": tag})


def _fingerprint(rows: list[Resource]) -> str:
    said = "\n".join(f"{schemas.LEVEL} {r.path()} {r.kind} {r.verbs} {r.subresources}" for r in rows)
    return hashlib.sha256(said.encode()).hexdigest().upper()


def _body(rows: list[Resource]) -> bytes:
    """Not kept: a document is asked for once per client, and clients keep it by its hash."""
    return orjson.dumps(_document(rows))


def _document(rows: list[Resource]) -> Obj:
    paths: Obj = {}
    for row in rows:
        paths |= _paths(row)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": schemas.LEVEL},
        "paths": paths,
        "components": {"schemas": definitions_of(rows)},
    }


def definitions_of(rows: list[Resource]) -> Obj:
    """The schemas of the rows' kinds, of their lists, and of all they refer to."""
    names = [name for name in (*_ALWAYS, *(schemas.definition_name(r) for r in rows)) if name in schemas.definitions()]
    names += [f"{name}List" for name in names if f"{name}List" in schemas.definitions()]
    return _closure(names)


def _closure(names: list[str]) -> Obj:
    """The schemas and all they refer to, as OpenAPI 3.0 writes them."""
    found: Obj = {}
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in found:
            found[name] = _schema(schemas.definitions()[name], pending)
    return dict(sorted(found.items()))


def _schema(schema: Any, pending: list[str]) -> Any:
    if isinstance(schema, list):
        return [_schema(item, pending) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        pending.append(name)
        link = {"$ref": f"#/components/schemas/{name}"}
        extra = {k: _schema(v, pending) for k, v in schema.items() if k != "$ref"}
        # Beside a $ref everything is ignored; upstream wraps it so that a description counts.
        return {**extra, "allOf": [link]} if extra else link
    written: Obj = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, list):
            written[key] = next((t for t in value if t != "null"), "object")
        elif key == "additionalProperties" and value is False:
            continue  # strictness is the decoder's business, not the document's
        elif key == "enum":
            continue  # of apiVersion and kind alone, which upstream's documents leave open
        elif key == "properties":
            written[key] = {name: _schema(child, pending) for name, child in value.items()}
        elif key == "oneOf" and schema.get("format") == "int-or-string":
            written[key] = [_schema(v, pending) for v in value]
        else:
            written[key] = _schema(value, pending)
    return written


def _paths(row: Resource) -> Obj:
    namespace = "{namespace}" if row.namespaced else ""
    shared = [_parameter("namespace", "path")] if row.namespaced else []
    named = [*shared, _parameter("name", "path")]
    paths: Obj = {}
    collection: set[str] = {v for v in ("list", "create", "deletecollection") if v in row.verbs}
    if collection:
        paths[row.path(namespace)] = {"parameters": shared, **_operations(row, collection, "")}
    single: set[str] = {v for v in ("get", "update", "patch", "delete") if v in row.verbs}
    if single:
        paths[row.path(namespace, "{name}")] = {"parameters": named, **_operations(row, single, "")}
    if row.namespaced and "list" in row.verbs:
        paths[row.path()] = _operations(row, {"list"}, "", everywhere=True)
    for name, verbs in served_subresources(row).items():
        paths[row.path(namespace, "{name}", name)] = {"parameters": named, **_operations(row, set(verbs), name)}
    return paths


def _operations(row: Resource, verbs: set[str], subresource: str, *, everywhere: bool = False) -> Obj:
    definition = schemas.definition_name(row)
    known = definition in schemas.definitions()
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{definition}"}}} if known else {}
    found: Obj = {}
    for verb in sorted(verbs):
        operation: Obj = {
            "operationId": _operation_id(row, verb, subresource, everywhere),
            "tags": [row.root[1:].replace("/", "_").replace(".", "_")],
            "responses": {"200": {"description": "OK", **({"content": content} if content else {})}},
            "x-kubernetes-action": _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": {"group": row.group, "version": row.version, "kind": row.kind},
        }
        if verb in ("create", "update", "patch"):
            operation["parameters"] = [
                _parameter("dryRun"), _parameter("fieldManager"), _parameter("fieldValidation"),
            ]  # fmt: skip
            operation["requestBody"] = {"content": content or {"application/json": {}}, "required": True}
        if verb == "patch":
            patch = {"schema": {"$ref": f"#/components/schemas/{_META}.Patch"}}
            operation["requestBody"] = {"content": dict.fromkeys(_PATCHES, patch), "required": True}
            operation["parameters"].append(_parameter("force", kind="boolean"))
        if verb == "list":
            operation["parameters"] = [
                _parameter(p) for p in ("continue", "fieldSelector", "labelSelector", "resourceVersion",
                                        "resourceVersionMatch")
            ] + [_parameter("limit", kind="integer"), _parameter("watch", kind="boolean")]  # fmt: skip
        found[_OPERATIONS[verb]] = operation
    return found


def _operation_id(row: Resource, verb: str, subresource: str, everywhere: bool) -> str:
    group = row.group.split(".")[0].capitalize() or "Core"
    words = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}.get(verb, verb)
    scope = "Namespaced" if row.namespaced and not everywhere else ""
    ending = "ForAllNamespaces" if everywhere else ""
    return f"{words}{group}{row.version.capitalize()}{scope}{row.kind}{subresource.capitalize()}{ending}"


def _parameter(name: str, where: str = "query", kind: str = "string") -> Obj:
    parameter: Obj = {"name": name, "in": where, "schema": {"type": kind, "uniqueItems": True}}
    if where == "path":
        parameter["required"] = True
    return parameter
