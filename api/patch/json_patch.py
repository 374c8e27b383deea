"""JSON patch (RFC 6902), by the jsonpatch library; its errors in the API's words."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

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
        result: Any = obj
        for operation in operations:
            if not _tests_absence(result, operation):
                result = jsonpatch.JsonPatch([operation]).apply(result)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
        raise rejected() from error
    if not isinstance(result, dict):
        raise rejected()
    return result


def _no_patch(value: Any, wanted: str) -> BadRequest:
    kinds = {dict: "object", list: "array", bool: "bool", int: "number", float: "number"}
    kind = kinds.get(type(value), "string")
    return BadRequest(f"error decoding patch: json: cannot unmarshal {kind} into Go value of type {wanted}")


def _tests_absence(obj: Obj, operation: Obj) -> bool:
    """Upstream lets a test for null pass where an object lacks the field."""
    if operation.get("op") != "test" or operation.get("value", 0) is not None:
        return False
    parent, _, name = str(operation.get("path", "")).rpartition("/")
    holder = jsonpointer.resolve_pointer(obj, parent, None)
    return isinstance(holder, dict) and name.replace("~1", "/").replace("~0", "~") not in holder
