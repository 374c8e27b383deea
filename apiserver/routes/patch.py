"""PATCH: JSON patch, JSON merge patch, strategic merge patch, and server-side apply, which may also create."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from api import errors, objects
from api.errors import BadRequest, EntityTooLarge, UnsupportedMedia, invalid
from api.meta import Obj
from api.patch import apply, go, json_patch, merge, strategic
from api.patch.managers import Door
from api.registry import Resource
from apiserver import decode, managing, negotiate, represent
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.update import Transform, change
from apiserver.routes.upsert import upsert
from apiserver.storage.stored import Stored

Format = Callable[[Resource, Obj, Any], Obj]

_JSON, _MERGE = "application/json-patch+json", "application/merge-patch+json"
_STRATEGIC, _APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_FORMATS: dict[str, Format] = {
    _JSON: lambda _, obj, patch: json_patch.apply(obj, patch),
    _MERGE: lambda _, obj, patch: merge.checked(obj, patch),
    _STRATEGIC: strategic.apply,
}
_MOST_OPERATIONS = 10_000
_TRIES = 16


def media_of(request: Request, res: Resource) -> str:
    """The format of the body. UnsupportedMedia; custom kinds know no strategic merge."""
    media = decode.media_type(request.header(b"content-type"))
    known = [m for m in (*_FORMATS, _APPLY) if res.custom is None or m != _STRATEGIC]
    if media not in known:
        raise UnsupportedMedia(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(known)}"
        )
    return media


def applies(request: Request) -> bool:
    return decode.media_type(request.header(b"content-type")) == _APPLY


async def read(request: Request, res: Resource) -> Transform:
    """The patch of the body as a function from the current object to the wanted one."""
    media = media_of(request, res)
    body = await request.body()
    try:
        patch = decode.json_of(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"error decoding patch: {error}") from error
    if media == _JSON and isinstance(patch, list) and len(patch) > _MOST_OPERATIONS:
        raise EntityTooLarge(f"The allowed maximum operations in a JSON patch is {_MOST_OPERATIONS}, got {len(patch)}")
    info = request.info
    namespace = info.namespace if res.namespaced else ""

    def transform(current: Obj) -> Obj:
        request.warnings.clear()
        wanted = _FORMATS[media](res, current, patch)
        decode.check_depth(wanted)
        patched = _shaped(request, res, wanted, patch if media == _STRATEGIC else None)
        decode.check_names(patched, namespace, info.name)
        return patched

    return transform


def _shaped(request: Request, res: Resource, wanted: Obj, patch: Any) -> Obj:
    """As `decode.shaped`; what a patch breaks is told of the `patch`, or, without it, of what it makes."""
    try:
        return decode.shaped(request, res, wanted)
    except BadRequest as error:
        _, found, why = error.message.partition(f"cannot be handled as a {res.kind}: ")
        if not found:
            raise
        if patch is not None:
            why = go.unrestorable(why)
        shown = go.plain(patch) if patch is not None else orjson.dumps(wanted).decode()
        raise errors.invalid_object("", "", "", [invalid("patch", shown, why)]) from error


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    info = request.info
    status = 200
    changed: Stored | Obj
    if media_of(request, res) == _APPLY:
        changed, status = await _apply(context, request, res)
    else:
        track = managing.tracker(context, request, res)
        transform = await read(request, res)
        changed = await change(
            context, request.user, res, info.namespace if res.namespaced else "", info.name, transform,
            subresource=info.subresource, dry_run=request.dry_run, track=track, request=request,
        )  # fmt: skip
    return represent.one(form, request, res, changed, context.now(), status)


# --- server-side apply ------------------------------------------------------------------------------------


async def read_config(request: Request) -> Obj:
    """The configuration to apply: YAML, of which JSON is a part."""
    body = await request.body()
    try:
        config = decode.json_of(body)
    except orjson.JSONDecodeError:
        config = decode.raw(body, "application/yaml")
    if not isinstance(config, dict):
        kind = go.type_of(config).replace("map[string]interface {}", "object")
        raise BadRequest(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
            f"{'array' if isinstance(config, list) else kind} into Go value of type map[string]interface {{}}"
        )
    twice = decode.given_twice(request, body, config)
    if twice and request.query("fieldValidation") == objects.STRICT:
        raise BadRequest(f"error strict decoding YAML: error converting YAML to JSON: {twice[0][1]}")
    return config


def applier(request: Request, door: Door, config: Obj, manager: str) -> Callable[[Obj | None], Obj]:
    """From the current object, if there is one, to the applied one."""
    info, res, force = request.info, door.resource, request.flag("force")

    def transform(current: Obj | None) -> Obj:
        request.warnings.clear()
        made = apply.apply(door, current, config, manager, force=force)
        decode.check_depth(made)
        applied = decode.shaped(request, res, made)
        decode.check_names(applied, info.namespace if res.namespaced else "", info.name)
        return applied

    return transform


async def _apply(context: Context, request: Request, res: Resource) -> tuple[Stored | Obj, int]:
    manager = managing.manager_of(request, applies=True)
    config = await read_config(request)
    transform = applier(request, managing.door(context, res, request.info.subresource), config, manager)
    return await upsert(context, request, res, transform, creates=True)
