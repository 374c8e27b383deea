"""GET a collection."""

from __future__ import annotations

from api.registry import Resource
from apiserver import negotiate, represent
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes import selection


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    labels, fields = selection.of(request, res)
    page = await context.store.list(
        res,
        request.info.namespace if res.namespaced else "",
        labels=labels,
        fields=fields,
        resource_version=request.query("resourceVersion"),
        match=request.query("resourceVersionMatch"),
        limit=max(0, request.integer("limit") or 0),
        continue_token=request.query("continue"),
        send_initial=request.flag("sendInitialEvents") if request.query("sendInitialEvents") else None,
    )
    return represent.many(form, request, res, page, context.now())
