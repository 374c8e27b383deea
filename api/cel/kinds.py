"""The type of a served kind's objects, from its schema: what an expression about them can be checked against.

Source: k8s.io/apiserver/pkg/cel/openapi.
"""

from __future__ import annotations

from typing import Any

from api import schemas
from api.cel.shapes import shape_of
from api.cel.types import Type
from api.registry import Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_UNIONS: dict[str, schemas.Schema] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
}


def type_of(row: Resource) -> Type | None:
    """None when nothing is known of the kind."""
    schema = schemas.schema_of(row)
    if schema is None:
        return None
    whole = _inlined(schema, ())
    if row.custom is not None:
        text = {"type": "string"}
        head = {"apiVersion": text, "kind": text, "metadata": _inlined(schemas.definitions()[_META], (_META,))}
        whole["properties"] = {**whole.get("properties", {}), **head}
    shape = shape_of(whole)
    return shape.type if shape is not None else None


def _inlined(schema: schemas.Schema, above: tuple[str, ...]) -> schemas.Schema:
    """`schema` with what it refers to in it. A kind that holds itself is cut off there: nothing is known below."""
    reference = schema.get("$ref") or next((one.get("$ref") for one in schema.get("allOf", ())), None)
    if reference is not None:
        name = reference.rpartition("/")[2]
        if name in _UNIONS:
            return _UNIONS[name]
        return {} if name in above else _inlined(schemas.definitions()[name], (*above, name))
    made: dict[str, Any] = {key: value for key, value in schema.items() if key != "description"}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        made["type"] = next((kind for kind in kinds if kind != "null"), "object")
    if "properties" in schema:
        made["properties"] = {name: _inlined(child, above) for name, child in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = _inlined(schema[key], above)
    return made
