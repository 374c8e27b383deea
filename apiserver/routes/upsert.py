"""Change an object, or make it when it is not there: what an apply always does, and a PUT for some kinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from api import errors
from api.errors import AlreadyExists, Conflict, NotFound
from api.meta import Obj
from api.objects import Track
from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.routes.create import create
from apiserver.routes.update import change
from apiserver.storage.stored import Stored

_TRIES = 16


async def upsert(
    context: Context,
    request: Request,
    res: Resource,
    transform: Callable[[Obj | None], Obj],
    *,
    creates: bool,
    track: Track | None = None,
) -> tuple[Stored | Obj, int]:
    """(the object, 201 when it is new): transform(the current object, or None when there is none) → the wanted one.

    Whoever makes it so needs to be allowed to create it. NotFound when there is none and `creates` is not set.
    """
    info = request.info
    namespace = info.namespace if res.namespaced else ""
    for _ in range(_TRIES):
        try:
            changed = await change(
                context, request.user, res, namespace, info.name, transform,
                subresource=info.subresource, dry_run=request.dry_run, track=track, request=request,
            )  # fmt: skip
            return changed, 200
        except NotFound as error:
            absent = (error.details.get("kind"), error.details.get("name")) == (res.plural, info.name)
            if not creates or info.subresource or not absent:
                raise
        context.authorizer.check(request.user, replace(info, verb="create"))
        new = transform(None)
        if uid := new["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(res.group, res.plural, info.name, why)
        try:
            made = await create(context, request.user, res, new, dry_run=request.dry_run, track=track, request=request)
        except AlreadyExists:
            continue  # another writer was faster: change what it made
        return made, 201
    raise Conflict(f"{res.plural} {info.name} comes and goes")
