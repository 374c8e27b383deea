"""DELETE a collection: each selected object as its own DELETE would, a few at a time."""

from __future__ import annotations

import asyncio

from api.meta import Obj
from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer, json_reply
from apiserver.routes import selection
from apiserver.routes.delete import delete_if_there, read_options

_AT_ONCE = 16


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    options = await read_options(request)
    labels, fields = selection.of(request, res)
    page = await context.store.list(res, request.info.namespace if res.namespaced else "", labels=labels, fields=fields)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(namespace: str, name: str) -> Obj | None:
        async with gate:
            return await delete_if_there(context, request.user, res, namespace, name, options)

    deleted = await asyncio.gather(*(one(s.namespace, s.name) for s in page.items))
    return json_reply(
        {
            "kind": f"{res.kind}List",
            "apiVersion": res.api_version,
            "metadata": {"resourceVersion": str(page.revision)},
            "items": [obj for obj in deleted if obj is not None],
        }
    )
