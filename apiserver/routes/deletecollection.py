"""DELETE a collection: each selected object as its own DELETE would, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from api.errors import NotFound
from api.meta import Obj
from api.registry import Resource
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.deletion import DeleteOptions
from apiserver.request import Request
from apiserver.response import Answer, json_reply
from apiserver.routes import selection
from apiserver.routes.delete import delete, read_options
from apiserver.storage.stored import Stored

_AT_ONCE = 16


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    options = await read_options(request)
    labels, fields = selection.of(request, res)
    page = await context.store.list(res, request.info.namespace if res.namespaced else "", labels=labels, fields=fields)
    deleted = await delete_each(context, request.user, res, page.items, options, request)
    return json_reply(
        {
            "kind": res.list_kind,
            "apiVersion": res.api_version,
            "metadata": {"resourceVersion": str(page.revision)},
            "items": deleted,
        }
    )


async def delete_each(
    context: Context,
    user: User,
    res: Resource,
    items: Iterable[Stored],
    options: DeleteOptions,
    request: Request | None = None,
    *,
    admitted: bool = False,
) -> list[Obj]:
    """The objects as they are now or were last, without those that were gone. `admitted`: nobody is asked."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(stored: Stored) -> Obj | None:
        at = (stored.namespace, stored.name)
        async with gate:
            try:
                return (await delete(context, user, res, *at, options, request=request, admitted=admitted))[0]
            except NotFound:
                return None

    return [obj for obj in await asyncio.gather(*map(one, items)) if obj is not None]
