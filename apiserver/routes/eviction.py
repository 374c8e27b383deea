"""Eviction: a polite delete. Disruption budgets, when there are any, are asked here."""

from __future__ import annotations

from api.registry import Resource
from apiserver import decode, deletion
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer, json_reply
from apiserver.routes.delete import delete
from apiserver.routes.table import Handlers

EVICTION = Resource("policy", "v1", "Eviction", "evictions", "eviction", True)
_DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def _create(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    eviction = await decode.read_object(request, EVICTION)
    decode.check_names(eviction, info.namespace, info.name)
    options = deletion.options_of(eviction.get("deleteOptions") or {})
    options.dry_run = options.dry_run or request.dry_run
    await delete(context, request.user, res, info.namespace, info.name, options)
    return json_reply(_DONE, 201)


HANDLERS: Handlers = {"create": _create}
