"""The paths of a row with their operations, as OpenAPI 3.0 writes them, and the same as Swagger 2.0 (pure).

An operation says its action and kind in `x-kubernetes-action` and `x-kubernetes-group-version-kind`; kubectl finds
by them which parameters a kind's PATCH takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from api.meta import Obj
from api.registry import Resource
from apiserver.openapi.schemas import META, list_name, name_of, reference, row_name
from apiserver.served import CONNECTS, Kind, kind_of

PATCHES = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
_METHODS = {
    "get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete",
    "deletecollection": "delete",
}  # fmt: skip
_ACTIONS = {"create": "post", "update": "put"}
_WORDS = {
    "get": "read", "list": "list", "create": "create", "update": "replace", "patch": "patch", "delete": "delete",
    "deletecollection": "deleteCollection",
}  # fmt: skip
_SAID = {
    "get": "read the specified", "list": "list or watch objects of kind", "create": "create a",
    "update": "replace the specified", "patch": "partially update the specified", "delete": "delete a",
    "deletecollection": "delete collection of",
}  # fmt: skip
_LIST = {
    "allowWatchBookmarks": "boolean", "continue": "string", "fieldSelector": "string", "labelSelector": "string",
    "limit": "integer", "resourceVersion": "string", "resourceVersionMatch": "string",
    "sendInitialEvents": "boolean", "timeoutSeconds": "integer", "watch": "boolean",
}  # fmt: skip
_WRITE = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
_DELETE = {
    "dryRun": "string", "gracePeriodSeconds": "integer", "ignoreStoreReadErrorWithClusterBreakingPotential": "boolean",
    "orphanDependents": "boolean", "propagationPolicy": "string",
}  # fmt: skip
_COLLECTION_DELETE = _DELETE | {k: v for k, v in _LIST.items() if k not in ("allowWatchBookmarks", "watch")}
_LOG = {
    "container": "string", "follow": "boolean", "insecureSkipTLSVerifyBackend": "boolean", "limitBytes": "integer",
    "previous": "boolean", "sinceSeconds": "integer", "stream": "string", "tailLines": "integer",
    "timestamps": "boolean",
}  # fmt: skip
_PARAMETERS: dict[str, dict[str, str]] = {
    "get": {}, "list": _LIST, "create": _WRITE, "update": _WRITE, "patch": _WRITE | {"force": "boolean"},
    "delete": _DELETE, "deletecollection": _COLLECTION_DELETE,
}  # fmt: skip
_CODES = {
    "create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201"), "delete": ("200", "202"),
}  # fmt: skip
_TEXTS = {"200": "OK", "201": "Created", "202": "Accepted"}
Subresources = Mapping[str, Iterable[str]]  # name → verbs


def of(row: Resource, subresources: Subresources) -> Obj:
    """All paths of a row."""
    namespace = "{namespace}" if row.namespaced else ""
    verbs = set(row.verbs)
    paths: Obj = {}

    def add(path: str, operations: Obj, *named: str) -> None:
        if operations:
            parameters = [_parameter(name, "path") for name in named] + [_parameter("pretty")]
            paths[path] = {"parameters": parameters, **operations}

    scope = ["namespace"] if row.namespaced else []
    own = (row.group, row.version, row.kind)
    add(row.path(namespace), _operations(row, own, verbs & {"list", "create", "deletecollection"}), *scope)
    add(row.path(namespace, "{name}"), _operations(row, own, verbs & {"get", "update", "patch", "delete"}),
        "name", *scope)  # fmt: skip
    if row.namespaced and "list" in verbs:
        add(row.path(), _operations(row, own, {"list"}, everywhere=True))
    for name, allowed in subresources.items():
        operations = _operations(row, kind_of(row, name), set(allowed), name)
        add(row.path(namespace, "{name}", name), operations, "name", *scope)
        if name == "proxy":
            rest = _operations(row, kind_of(row, name), set(allowed), name, everywhere=True)
            add(row.path(namespace, "{name}", name) + "/{path}", rest, "name", *scope, "path")
    return paths


def discovery(root: str) -> Obj:
    """The path of a group version's own list of resources."""
    listing = _answer(reference(f"{META}.APIResourceList", swagger=False))
    operation = {
        "description": "get available resources",
        "operationId": f"get{_camel(root)}APIResources",
        "responses": {"200": listing},
        "tags": [_tag(root)],
    }
    return {f"{root}/": {"get": operation}}


def _operations(row: Resource, kind: Kind, verbs: set[str], sub: str = "", *, everywhere: bool = False) -> Obj:
    group, version, name = kind
    found: Obj = {}
    for verb in sorted(verbs):
        connects = sub in CONNECTS
        operation: Obj = {
            "description": _description(row, verb, sub),
            "operationId": _operation_id(row, verb, sub, everywhere),
            "tags": [_tag(row.root)],
            "responses": _responses(row, kind, verb, sub),
            "x-kubernetes-action": "connect" if connects else _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": name},
        }
        parameters = CONNECTS.get(sub) or (_LOG if sub == "log" else _PARAMETERS[verb])
        if parameters:
            operation["parameters"] = [_parameter(p, kind=t) for p, t in parameters.items()]
        body = None if connects else _body(row, kind, verb)
        if body:
            operation["requestBody"] = body
        found[_METHODS[verb]] = operation
    return found


def _schema_of(row: Resource, kind: Kind) -> Obj:
    name = row_name(row) if kind == (row.group, row.version, row.kind) else name_of(kind)
    return reference(name, swagger=False) if name else {"type": "object"}


def _body(row: Resource, kind: Kind, verb: str) -> Obj | None:
    if verb in ("create", "update"):
        return {"content": {"*/*": {"schema": _schema_of(row, kind)}}, "required": True}
    if verb == "patch":
        types = [t for t in PATCHES if row.custom is None or "strategic" not in t]
        patch = {"schema": reference(f"{META}.Patch", swagger=False)}
        return {"content": dict.fromkeys(types, patch), "required": True}
    if verb in ("delete", "deletecollection"):
        return {"content": {"*/*": {"schema": reference(f"{META}.DeleteOptions", swagger=False)}}}
    return None


def _responses(row: Resource, kind: Kind, verb: str, sub: str) -> Obj:
    if sub in CONNECTS or sub == "log":
        media = "text/plain" if sub == "log" else "*/*"
        answer: Obj = {"content": {media: {"schema": {"type": "string"}}}}
    elif verb == "list":
        name = list_name(row)
        answer = _answer(reference(name, swagger=False) if name else {"type": "object"})
        if "watch" in row.verbs:
            watch = {"schema": reference(f"{META}.WatchEvent", swagger=False)}
            answer["content"]["application/json;stream=watch"] = watch
    elif verb in ("delete", "deletecollection"):
        answer = _answer(reference(f"{META}.Status", swagger=False))
    else:
        answer = _answer(_schema_of(row, kind))
    codes = ("200",) if sub in CONNECTS else _CODES.get(verb, ("200",))
    return {code: {**answer, "description": _TEXTS[code]} for code in codes} | {"401": {"description": "Unauthorized"}}


def _answer(schema: Obj) -> Obj:
    return {"description": "OK", "content": {"application/json": {"schema": schema}}}


def _description(row: Resource, verb: str, sub: str) -> str:
    if sub in CONNECTS:
        return f"connect {_METHODS[verb].upper()} requests to {sub} of {row.kind}"
    of = f"{sub} of the specified {row.kind}" if sub else row.kind
    said = _SAID[verb]
    if sub:
        said = said.removesuffix(" the specified").removesuffix(" a")
    return f"{said} {of}"


def _operation_id(row: Resource, verb: str, sub: str, everywhere: bool) -> str:
    scope = "Namespaced" if row.namespaced and (sub or not everywhere) else ""
    of = f"{_camel(row.root)}{scope}"
    if verb == "deletecollection":
        return f"delete{_camel(row.root)}Collection{scope}{row.kind}"
    ending = "".join(piece.capitalize() for piece in sub.split("/"))
    if sub in CONNECTS:
        ending += "WithPath" if everywhere else ""
        return f"connect{_camel(row.root)}{_METHODS[verb].capitalize()}{scope}{row.kind}{ending}"
    return f"{_WORDS[verb]}{of}{row.kind}{ending}{'ForAllNamespaces' if everywhere and row.namespaced else ''}"


def _camel(root: str) -> str:
    """`/apis/rbac.authorization.k8s.io/v1` → `RbacAuthorizationV1`, `/api/v1` → `CoreV1`."""
    *_, group, version = ["core", *root.split("/")[2:]] if root.startswith("/api/") else root.split("/")
    words = group.removesuffix(".k8s.io").split(".")
    return "".join(word.capitalize() for word in (*words, version))


def _tag(root: str) -> str:
    *_, group, version = ["core", *root.split("/")[2:]] if root.startswith("/api/") else root.split("/")
    return f"{group.removesuffix('.k8s.io').replace('.', '')}_{version}"


def _parameter(name: str, where: str = "query", kind: str = "string") -> Obj:
    parameter: Obj = {"name": name, "in": where, "schema": {"type": kind, "uniqueItems": True}}
    if where == "path":
        parameter["required"] = True
    return parameter


# --- Swagger 2.0 -----------------------------------------------------------------------------------------


def as_swagger(paths: Obj) -> Obj:
    """Paths of OpenAPI 3.0 as Swagger 2.0 writes them; references are left as they are."""
    return {
        path: {
            key: [_swagger_parameter(p) for p in value] if key == "parameters" else _swagger_operation(value)
            for key, value in item.items()
        }
        for path, item in paths.items()
    }


def _swagger_parameter(parameter: Obj) -> Obj:
    schema: Obj = parameter["schema"]
    return {k: v for k, v in parameter.items() if k != "schema"} | schema


def _swagger_operation(operation: Obj) -> Obj:
    written = {k: v for k, v in operation.items() if k not in ("parameters", "requestBody", "responses")}
    parameters = [_swagger_parameter(p) for p in operation.get("parameters", ())]
    body = operation.get("requestBody")
    if body:
        schema = next(iter(body["content"].values()))["schema"]
        parameter = {"in": "body", "name": "body", "schema": schema}
        parameters.append(parameter | ({"required": True} if body.get("required") else {}))
        written["consumes"] = list(body["content"])
    if parameters:
        written["parameters"] = parameters
    written["produces"] = ["application/json"]
    written["schemes"] = ["https"]
    written["responses"] = {}
    for code, answer in operation["responses"].items():
        content = answer.get("content")
        shown = {"schema": next(iter(content.values()))["schema"]} if content else {}
        written["responses"][code] = {"description": answer["description"], **shown}
    return written
