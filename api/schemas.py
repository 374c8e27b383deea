"""What the upstream JSON Schemas say of each kind: types, required fields, merge keys, documentation.

The schemas come from the `kubernetes-validate` package (level v1.35, strict set: unknown fields are errors).
They are loaded on first use and compiled per kind on first use. Everything handed out is read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson

from api.custom import pruning
from api.custom.schema import CustomSchema
from api.errors import FieldError, required
from api.meta import Obj
from api.registry import Resource

LEVEL = "v1.35.0"
Schema = dict[str, Any]
Path = tuple[str | int, ...]
_OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

# The OpenAPI package of each API group, as upstream names its definitions.
_PACKAGES = {
    "": "io.k8s.api.core",
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
    "flowcontrol.apiserver.k8s.io": "io.k8s.api.flowcontrol",
}


@lru_cache(maxsize=1)
def definitions() -> dict[str, Schema]:
    """All schemas by upstream definition name, with descriptions and `x-kubernetes-*` extensions."""
    path = files("kubernetes_validate") / "kubernetes-json-schema" / f"{LEVEL}-local-strict"
    loaded: dict[str, Schema] = orjson.loads((path / "_definitions.json").read_bytes())["$defs"]
    return loaded


def definition_name(resource: Resource) -> str:
    """`io.k8s.api.core.v1.Pod`. Custom resources have none, whatever their group is called: KeyError on lookup."""
    if resource.custom is not None:
        return ""
    package = _PACKAGES.get(resource.group) or f"io.k8s.api.{resource.group.split('.')[0]}"
    return f"{package}.{resource.version}.{resource.kind}"


def schema_of(resource: Resource) -> Schema | None:
    """A custom kind's schema is what its definition says: inline, and without apiVersion, kind and metadata."""
    if resource.custom is not None:
        return resource.custom.schema or None
    return definitions().get(definition_name(resource))


def resolve(schema: Schema | None) -> Schema:
    """The schema a `$ref` points at; other schemas are returned as they are, None as {}."""
    if schema is None:
        return {}
    reference = schema.get("$ref")
    if reference is None and len(schema.get("allOf", ())) == 1:
        reference = schema["allOf"][0].get("$ref")
    return definitions()[reference.rpartition("/")[2]] if reference else schema


def property_of(schema: Schema, name: str) -> Schema | None:
    """The unresolved schema of a field, which carries the merge directives; None when unknown."""
    schema = resolve(schema)
    found: Schema | None = schema.get("properties", {}).get(name)
    if found is None:
        extra = schema.get("additionalProperties")
        return extra if isinstance(extra, dict) else None
    return found


def items_of(schema: Schema) -> Schema:
    return resolve(resolve(schema).get("items"))


# --- validation ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Findings:
    """What is wrong with an object's shape. All empty for nearly every object."""

    unknown: list[Path] = field(default_factory=list)
    untold: list[Path] = field(default_factory=list)  # unknown too, where upstream's decoder is never strict
    mistyped: list[str] = field(default_factory=list)  # texts, as Go's JSON decoder words them
    missing: list[FieldError] = field(default_factory=list)


_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_DEFINITION = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
_OPEN = frozenset(("items", "additionalProperties"))
# The package leaves open what these may be: a schema, or else.
_UNIONS: dict[str, Schema] = {
    f"{_PROPS}Or{other}": {"if": {"type": "object"}, "then": {"$ref": f"#/$defs/{_PROPS}"}, "else": schema}
    for other, schema in (
        ("Array", {"type": "array", "items": {"$ref": f"#/$defs/{_PROPS}"}}),
        ("Bool", {"type": "boolean"}),
        ("StringArray", {"type": "array", "items": {"type": "string"}}),
    )
}


@lru_cache(maxsize=256)
def _validator(name: str) -> Any:
    # Not at the top: 3 MB in every daemon, of which none validates.
    import jsonschema_rs  # noqa: PLC0415

    return jsonschema_rs.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": _closure(name)})


def _closure(name: str) -> dict[str, Schema]:
    """`name` and all it refers to, without descriptions and extensions, so that a compiled kind is small."""
    found: dict[str, Schema] = {}
    pending = [name]

    def stripped(value: Any, is_properties: bool = False) -> Any:
        if isinstance(value, list):
            return [stripped(item) for item in value]
        if not isinstance(value, dict):
            return value
        if isinstance(value.get("$ref"), str):
            pending.append(value["$ref"].rpartition("/")[2])
            return {"$ref": value["$ref"]}
        return {
            k: stripped(v, k == "properties")
            for k, v in value.items()
            if is_properties or not (k == "description" or k.startswith("x-"))
        }

    while pending:
        current = pending.pop()
        if current not in found:
            found[current] = {}
            found[current] = stripped(_UNIONS.get(current) or definitions()[current])
    return found


def inspect(resource: Resource, obj: Obj) -> Findings | None:
    """Compare `obj` with its schema. None when there is nothing to say (or no schema).

    Of a custom object, metadata and unknown fields; what else its schema asks is for validation.
    """
    if resource.custom is not None:
        return _inspect_custom(resource.custom, obj)
    name = definition_name(resource)
    return _inspect(name, obj) if name in definitions() else None


def _inspect_custom(custom: CustomSchema, obj: Obj) -> Findings | None:
    findings = Findings()
    schema = {**custom.schema, pruning.EMBEDDED: True}
    for path, inner in pruning.embedded_resources(obj, schema):
        if not path and not isinstance(inner["metadata"], dict):
            wrong = json_kind(inner["metadata"])
            findings.mistyped.append(f"json: cannot unmarshal {wrong} into Go value of type v1.ObjectMeta")
        found = _inspect(_OBJECT_META, inner["metadata"]) if isinstance(inner.get("metadata"), dict) else None
        if found is not None:
            at = (*path, "metadata")
            findings.unknown += [(*at, *unknown) for unknown in found.unknown]
            findings.mistyped += found.mistyped
    if not custom.preserves_unknown:
        findings.unknown += pruning.unknown_fields(obj, custom.schema)
    return findings if findings.unknown or findings.mistyped else None


def _inspect(name: str, obj: Obj) -> Findings | None:
    validator = _validator(name)
    if validator.is_valid(obj):
        return None
    findings = Findings()
    for error in validator.iter_errors(obj):
        path: Path = tuple(error.instance_path)
        kind = type(error.kind).__name__
        if kind == "AdditionalProperties":
            inside = name == _DEFINITION and not _OPEN.isdisjoint(path)
            told = findings.untold if inside else findings.unknown
            told += [(*path, name) for name in error.kind.unexpected]
        elif kind == "Required":
            # Upstream requires nothing of a status, which its own components write.
            if not path or path[0] != "status":
                findings.missing.append(required(dotted((*path, error.kind.property))))
        elif kind in ("Type", "OneOfNotValid"):
            findings.mistyped.append(_mistyped(name, path, error.instance))
        # Enum concerns apiVersion and kind, which routing has settled; OneOfMultipleValid is null.
    return findings


def _mistyped(name: str, path: Path, value: Any) -> str:
    """`json: cannot unmarshal string into Go struct field PodSpec.spec.priority of type int32`."""
    schema: Schema = {"$ref": f"#/$defs/{name}"}
    owner, fields = name, []
    for step in path:
        resolved = resolve(schema)
        if "$ref" in schema and "properties" in resolved:
            owner = schema["$ref"].rpartition("/")[2]
        if step in resolved.get("properties", ()):
            fields.append(str(step))  # neither list indexes nor map keys are fields
        schema = resolved.get("items", {}) if isinstance(step, int) else property_of(resolved, step) or {}
    struct = owner.rpartition(".")[2]
    target = f"Go struct field {struct}.{'.'.join(fields)} of type {_go_type(schema)}"
    return f"json: cannot unmarshal {json_kind(value)} into {target}"


def json_kind(value: Any) -> str:
    """What Go's JSON decoder calls it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return f"number {value}"
    if isinstance(value, int):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "string"


def _go_type(schema: Schema) -> str:
    if "$ref" in schema:
        *_, version, kind = schema["$ref"].rpartition("/")[2].split(".")
        return f"{version}.{kind}"
    types = schema.get("type", "string")
    plain = next((t for t in types if t != "null"), "string") if isinstance(types, list) else types
    match plain:
        case "integer":
            return str(schema.get("format", "int64"))
        case "boolean":
            return "bool"
        case "number":
            return "float64"
        case "array":
            return "[]" + _go_type(schema.get("items", {}))
        case "object":
            return "map[string]" + _go_type(schema.get("additionalProperties") or {})
    return "string"


def dotted(path: Path) -> str:
    """('spec', 'containers', 0, 'name') → `spec.containers[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
    return text


def remove(obj: Obj, path: Path) -> None:
    """Delete the field at `path` (which an inspection has just found)."""
    at: Any = obj
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]


# --- merge directives ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListMerge:
    """How strategic merge treats a field: `strategies` of merge, retainKeys; `key` of an associative list."""

    strategies: frozenset[str]
    key: str | None


@lru_cache(maxsize=4096)
def _merge(strategies: str, key: str | None) -> ListMerge:
    return ListMerge(frozenset(filter(None, strategies.split(","))), key)


def list_merge(schema: Mapping[str, Any] | None) -> ListMerge:
    """The directives on a field's own (unresolved) schema."""
    schema = schema or {}
    return _merge(schema.get("x-kubernetes-patch-strategy", ""), schema.get("x-kubernetes-patch-merge-key"))
