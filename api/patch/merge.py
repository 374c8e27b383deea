"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from api.errors import BadRequest
from api.meta import Obj
from api.patch import go


def apply(target: Any, patch: Any) -> Any:
    """A new value; `target` and `patch` are left as they are (unchanged parts are shared)."""
    if not isinstance(target, dict):
        return _without_nulls(patch)
    if not isinstance(patch, dict):
        return patch
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def _without_nulls(value: Any) -> Any:
    """What is new comes without fields that are null, in lists too: upstream goes further than the RFC there."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value


def checked(obj: Obj, patch: Any) -> Obj:
    """`apply` to an object. BadRequest when the patch is none."""
    if not isinstance(patch, dict):
        kind = "array" if isinstance(patch, list) else go.type_of(patch)
        raise BadRequest(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    merged: Obj = apply(obj, patch)
    return merged


def diff(old: Any, new: Any) -> Any:
    """The patch that turns `old` into `new`; {} when they are equal objects."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif old[key] != value:
            patch[key] = diff(old[key], value)
    return patch
