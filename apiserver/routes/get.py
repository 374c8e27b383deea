"""GET one object."""

from __future__ import annotations

from api.registry import Resource
from apiserver import negotiate, represent
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer, Reply


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    form = negotiate.choose(request.header(b"accept"))
    stored = await context.store.get(
        res,
        info.namespace if res.namespaced else "",
        info.name,
        resource_version=request.query("resourceVersion") if request.scope["query_string"] else "",
    )
    if not form.kind:
        return Reply(stored.raw)
    return represent.one(form, request, res, stored, context.now())
