"""PATCH: JSON patch, JSON merge patch, strategic merge patch. Another format is another row of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from api.errors import BadRequest, UnsupportedMedia, invalid, invalid_object
from api.meta import Obj
from api.patch import json_patch, merge, strategic
from api.registry import Resource
from apiserver import decode, negotiate, represent
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.update import Transform, change

Apply = Callable[[Resource, Obj, Any], Obj]


def _merge(_: Resource, obj: Obj, patch: Any) -> Obj:
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a JSON merge patch is an object")
    merged: Obj = merge.apply(obj, patch)
    return merged


_STRATEGIC = "application/strategic-merge-patch+json"
_FORMATS: dict[str, Apply] = {
    "application/json-patch+json": lambda _, obj, patch: json_patch.apply(obj, patch),
    "application/merge-patch+json": _merge,
    _STRATEGIC: strategic.apply,
}


async def read(request: Request, res: Resource) -> Transform:
    """The patch of the body as a function from the current object to the wanted one."""
    media = decode.media_type(request.header(b"content-type"))
    apply = _FORMATS.get(media)
    if apply is None:
        raise UnsupportedMedia(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(_FORMATS)}"
        )
    body = await request.body()
    try:
        patch = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"error decoding patch: {error}") from error
    info = request.info
    namespace = info.namespace if res.namespaced else ""

    def transform(current: Obj) -> Obj:
        request.warnings.clear()
        patched = _shaped(request, res, apply(res, current, patch), patch if media == _STRATEGIC else None)
        decode.check_names(patched, namespace, info.name)
        return patched

    return transform


def _shaped(request: Request, res: Resource, patched: Obj, patch: Any) -> Obj:
    """As `decode.shaped`; what a strategic merge patch breaks is told of the patch, not of the object."""
    try:
        return decode.shaped(request, res, patched)
    except BadRequest as error:
        if patch is None:
            raise
        why = error.message.partition(f"cannot be handled as a {res.kind}: ")[2] or error.message
        cause = invalid("patch", _as_go(patch), why)
        raise invalid_object("", "", "", [cause]) from error


def _as_go(value: Any) -> str:
    """How Go prints decoded JSON: `map[spec:map[replicas:x]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_as_go(value[k])}" for k in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_as_go(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    info = request.info
    transform = await read(request, res)
    changed = await change(
        context, request.user, res, info.namespace if res.namespaced else "", info.name, transform,
        subresource=info.subresource, dry_run=request.dry_run,
    )  # fmt: skip
    return represent.one(form, request, res, changed, context.now())
