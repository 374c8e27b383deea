"""JSON patch (RFC 6902), by the jsonpatch library; its errors in the API's words."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from api.errors import BadRequest, Invalid
from api.meta import Obj


def apply(obj: Obj, operations: Any) -> Obj:
    """A new object. BadRequest for a malformed patch, Invalid when a test or path fails."""
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise BadRequest("error decoding patch: json: cannot unmarshal a JSON patch that is not a list of operations")
    try:
        result = jsonpatch.JsonPatch(operations).apply(obj)
    except jsonpatch.InvalidJsonPatch as error:
        raise BadRequest(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        # In upstream's words: why the patch does not apply is not told.
        raise Invalid("the server rejected our request due to an error in our request") from error
    if not isinstance(result, dict):
        raise BadRequest("the patch does not leave an object")
    return result
