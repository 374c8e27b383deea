"""The schemas of kinds as OpenAPI documents write them (pure).

Built-in kinds: the definitions of `api.schemas`, without what its strict set added (closed objects, nullable types,
the enum of apiVersion and kind). Custom kinds: the schema of their definition, framed by apiVersion, kind and
metadata, as upstream's apiextensions-apiserver publishes them.

v3 has what upstream's Swagger 2.0 leaves out: enums, defaults and unions. Zero values of required fields are defaults
there, as upstream's generator writes them, beside those that Go types declare with `+default`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any

from api import schemas
from api.meta import Obj
from api.registry import Resource
from apiserver.served import Kind

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
ALWAYS = tuple(f"{META}.{kind}" for kind in ("Status", "DeleteOptions", "Patch", "WatchEvent", "APIResourceList"))
_ZERO = {"string": "", "integer": 0, "number": 0, "boolean": False}
_UNIONS = {  # their JSON is a number or a text
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("integer", "string", "int-or-string"),
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("string", "number", ""),
}
_CORE = "io.k8s.api.core.v1."
_DECLARED: dict[tuple[str, str], Any] = {  # `+default` of the Go types
    (f"{_CORE}ContainerPort", "protocol"): "TCP",
    (f"{_CORE}ServicePort", "protocol"): "TCP",
    (f"{_CORE}ISCSIVolumeSource", "iscsiInterface"): "default",
    (f"{_CORE}ISCSIPersistentVolumeSource", "iscsiInterface"): "default",
    (f"{_CORE}ScaleIOVolumeSource", "storageMode"): "ThinProvisioned",
    (f"{_CORE}ScaleIOVolumeSource", "fsType"): "xfs",
    (f"{_CORE}AzureDiskVolumeSource", "cachingMode"): "ReadWrite",
    (f"{_CORE}AzureDiskVolumeSource", "fsType"): "ext4",
    (f"{_CORE}AzureDiskVolumeSource", "readOnly"): False,
    (f"{_CORE}GRPCAction", "service"): "",
} | {
    (f"{_CORE}{kind}", name): value
    for kind in ("RBDVolumeSource", "RBDPersistentVolumeSource")
    for name, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring"))
}
_VALUE_TYPES = ("metadata", "spec", "status", "template")  # structs, not pointers, in nearly every kind
_SWAGGER_OMITS = frozenset({"oneOf", "anyOf", "allOf", "not", "nullable", "default", "x-kubernetes-validations"})
Written = dict[str, Obj]


@lru_cache(maxsize=1)
def _names() -> dict[Kind, str]:
    found: dict[Kind, str] = {}
    for name, schema in schemas.definitions().items():
        for entry in schema.get("x-kubernetes-group-version-kind", ()):
            found.setdefault((entry["group"], entry["version"], entry["kind"]), name)
    return found


def name_of(kind: Kind) -> str | None:
    """The definition of a built-in kind, by its group, version and kind."""
    return _names().get(kind)


def custom_name(row: Resource) -> str:
    """`com.example.stable.v1.CronTab`"""
    return ".".join([*reversed(row.group.split(".")), row.version, row.kind])


def row_name(row: Resource) -> str | None:
    if row.custom is not None:
        return custom_name(row)
    return name_of((row.group, row.version, row.kind))


def list_name(row: Resource) -> str | None:
    name = row_name(row)
    if row.custom is not None or name is None:
        return name and f"{name}List"
    return f"{name}List" if f"{name}List" in schemas.definitions() else None


def written(rows: Iterable[Resource], more: Iterable[Kind], *, swagger: bool) -> Written:
    """The schemas of the rows' kinds, of their lists, of `more` kinds, and of all that these refer to."""
    found: Written = {}
    pending = [*ALWAYS, *filter(None, map(name_of, more))]
    for row in rows:
        if row.custom is not None:
            found |= _custom(row, pending, swagger=swagger)
        else:
            pending += filter(None, (row_name(row), list_name(row)))
    while pending:
        name = pending.pop()
        if name not in found and name in schemas.definitions():
            found[name] = {}
            found[name] = _definition(name, pending, swagger=swagger)
    return dict(sorted(found.items()))


def reference(name: str, *, swagger: bool) -> Obj:
    return {"$ref": f"#/definitions/{name}" if swagger else f"#/components/schemas/{name}"}


# --- built-in kinds --------------------------------------------------------------------------------------


def _definition(name: str, pending: list[str], *, swagger: bool) -> Obj:
    if name in _UNIONS:
        return _union(name, swagger=swagger)
    schema = schemas.definitions()[name]
    required = schema.get("required", ())
    properties = schema.get("properties")
    plain = {k: v for k, v in schema.items() if k != "properties"}
    result = _plain(plain, pending, swagger=swagger)
    if properties is not None:
        result["properties"] = {}
        for field, child in properties.items():
            shown = _plain(child, pending, swagger=swagger)
            if not swagger and "default" not in shown:
                _add_default(name, field, child, shown, field in required)
            if not swagger:
                _add_enum(name, field, shown)
            result["properties"][field] = shown
    return result


@lru_cache(maxsize=1)
def _enums() -> dict[tuple[str, str], list[str]]:
    """(definition, field) → its values."""
    lines = (files("apiserver") / "openapi" / "enums.txt").read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {(f"io.k8s.api.{kind}", field): values for kind, field, *values in rows}


def _add_enum(name: str, field: str, shown: Obj) -> None:
    values = _enums().get((name, field))
    if values:
        shown.get("items", shown)["enum"] = values


def _add_default(name: str, field: str, schema: Obj, shown: Obj, required: bool) -> None:
    if (name, field) in _DECLARED:
        shown["default"] = _DECLARED[name, field]
    elif "$ref" in schema:
        target = schemas.definitions().get(schema["$ref"].rpartition("/")[2], {})
        if "properties" in target and (required or field in _VALUE_TYPES):
            shown["default"] = {}
    elif required and shown.get("type") in _ZERO:
        shown["default"] = _ZERO[shown["type"]]


def _union(name: str, *, swagger: bool) -> Obj:
    first, second, format_ = _UNIONS[name]
    description = schemas.definitions()[name].get("description")
    head = {"description": description} if description else {}
    tail = {"format": format_} if format_ else {}
    if swagger:
        return head | tail | {"type": "string"}
    return head | tail | {"oneOf": [{"type": first}, {"type": second}]}


def _plain(schema: Obj, pending: list[str], *, swagger: bool) -> Obj:
    result: Obj = {}
    for key, value in schema.items():
        if key == "$ref":
            name = value.rpartition("/")[2]
            pending.append(name)
            result |= reference(name, swagger=swagger)
        elif key == "type":
            result[key] = next((t for t in value if t != "null"), "object") if isinstance(value, list) else value
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            child = _plain(value, pending, swagger=swagger)
            if not swagger:
                _default_of_element(child)
            result[key] = child
        elif key in ("additionalProperties", "enum", "oneOf"):
            continue  # strictness and nullability are the decoder's business, not the document's
        else:
            result[key] = value
    if "$ref" in result and len(result) > 1 and not swagger:
        # OpenAPI 3.0 ignores what stands beside a $ref.
        result["allOf"] = [{"$ref": result.pop("$ref")}]
    return result


def _default_of_element(child: Obj) -> None:
    if child.get("type") in _ZERO:
        child["default"] = _ZERO[child["type"]]
    elif "$ref" in child:
        target = schemas.definitions().get(child["$ref"].rpartition("/")[2], {})
        if "properties" in target:
            child["allOf"] = [{"$ref": child.pop("$ref")}]
            child["default"] = {}


# --- custom kinds ----------------------------------------------------------------------------------------


def _custom(row: Resource, pending: list[str], *, swagger: bool) -> Written:
    """The kind and its list."""
    assert row.custom is not None
    pod = schemas.definitions()[f"{_CORE}Pod"]["properties"]
    pod_list = schemas.definitions()[f"{_CORE}PodList"]
    pending += [f"{META}.ObjectMeta", f"{META}.ListMeta"]

    def frame(source: Obj) -> Obj:
        return {name: _plain(source[name], [], swagger=swagger) for name in ("apiVersion", "kind", "metadata")}

    def marked(kind: str) -> list[Obj]:
        return [{"group": row.group, "version": row.version, "kind": kind}]

    name = custom_name(row)
    schema = _structural(row.custom.schema, swagger=swagger)
    open_ended = row.custom.preserves_unknown or not row.custom.schema
    if swagger and (open_ended or row.custom.schema.get("x-kubernetes-preserve-unknown-fields")):
        schema = {}  # kubectl of old refuses fields that a Swagger schema does not name
    else:
        if open_ended:
            schema["x-kubernetes-preserve-unknown-fields"] = True
        schema["properties"] = schema.get("properties", {}) | frame(pod)
    schema["type"] = "object"
    schema["x-kubernetes-group-version-kind"] = marked(row.kind)
    list_kind = row.custom.list_kind or f"{row.kind}List"
    items = {
        "description": f"List of {row.plural}. More info: https://git.k8s.io/community/contributors/devel/"
        "sig-architecture/api-conventions.md",
        "type": "array",
        "items": reference(name, swagger=swagger),
    }
    listed = {
        "description": f"{list_kind} is a list of {row.kind}",
        "type": "object",
        "required": ["items"],
        "properties": frame(pod_list["properties"]) | {"items": items},
        "x-kubernetes-group-version-kind": marked(list_kind),
    }
    return {name: schema, f"{name}List": listed}


def _structural(schema: Obj, *, swagger: bool) -> Obj:
    """A structural schema as the document shows it; a copy."""
    result: Obj = {}
    if schema.get("x-kubernetes-embedded-resource") and not swagger:
        result["x-kubernetes-embedded-resource"] = True
    for key, value in schema.items():
        if swagger and key in _SWAGGER_OMITS:
            continue
        recurse: Callable[[Obj], Obj] = lambda child: _structural(child, swagger=swagger)  # noqa: E731
        if key in ("properties", "patternProperties") and isinstance(value, dict):
            result[key] = {name: recurse(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties", "not") and isinstance(value, dict):
            result[key] = recurse(value)
        elif key in ("oneOf", "anyOf", "allOf"):
            result[key] = [recurse(child) for child in value]
        else:
            result[key] = value
    if swagger:
        _without_what_kubectl_misreads(result, schema)
    return result


def _without_what_kubectl_misreads(result: Obj, schema: Obj) -> None:
    """Upstream's ToStructuralOpenAPIV2: a kubectl of old takes what a Swagger schema names for all there may be."""
    anything = schema.get("nullable") or schema.get("x-kubernetes-preserve-unknown-fields")
    if anything:
        result.pop("items", None)
        result.pop("properties", None)
    if schema.get("x-kubernetes-int-or-string") or (
        anything and (schema.get("nullable") or schema.get("type") in ("array", "object"))
    ):
        result.pop("type", None)
    nullable = {name for name in result.get("properties") or {} if schema["properties"][name].get("nullable")}
    required = [name for name in result.pop("required", ()) if name not in nullable]
    if required:
        result["required"] = required
