"""JSON patch (RFC 6902), by the jsonpatch library; its errors in the API's words."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from api import meta
from api.errors import BadRequest, rejected
from api.meta import Obj


def apply(obj: Obj, operations: Any) -> Obj:
    """A new object. BadRequest for what is no patch, Invalid when a test or path fails."""
    if not isinstance(operations, list):
        raise _no_patch(operations, "[]handlers.jsonPatchOp")
    for operation in operations:
        if not isinstance(operation, dict):
            raise _no_patch(operation, "handlers.jsonPatchOp")
    try:
        result: Any = meta.copied(obj)  # once: the library would for every operation
        for operation in operations:
            result = _applied(result, operation)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
        raise rejected() from error
    if not isinstance(result, dict):
        raise rejected()
    return result


def _no_patch(value: Any, wanted: str) -> BadRequest:
    kinds = {dict: "object", list: "array", bool: "bool", int: "number", float: "number"}
    kind = kinds.get(type(value), "string")
    return BadRequest(f"error decoding patch: json: cannot unmarshal {kind} into Go value of type {wanted}")


def _applied(obj: Any, operation: Obj) -> Any:
    """Where an object lacks a field, upstream reads null: a test for null passes, a copy copies it, and it can be
    replaced."""
    kind = operation.get("op")
    if kind == "test" and operation.get("value", 0) is None and _lacks(obj, operation.get("path")):
        return obj
    if kind == "replace" and _lacks(obj, operation.get("path")):
        operation = {**operation, "op": "add"}
    if kind == "copy" and _lacks(obj, operation.get("from")):
        operation = {"op": "add", "path": operation.get("path"), "value": None}
    if isinstance(operation.get("value"), dict | list):  # what follows may edit it, and the patch may be applied again
        operation = {**operation, "value": meta.copied(operation["value"])}
    return jsonpatch.JsonPatch([operation]).apply(obj, in_place=True)


def _lacks(obj: Any, pointer: Any) -> bool:
    parent, _, name = str(pointer or "").rpartition("/")
    holder = jsonpointer.resolve_pointer(obj, parent, None)
    return isinstance(holder, dict) and name.replace("~1", "/").replace("~0", "~") not in holder
