"""/debug/api_priority_and_fairness: what waits and what is served, for those whom a role allows it.

https://kubernetes.io/docs/reference/debug-cluster/flow-control/#debug-endpoints
"""

from __future__ import annotations

import time

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import PlainTextResponse

from apiserver.context import Context
from apiserver.flow import dump
from apiserver.flow.control import Control

router = APIRouter(prefix="/debug/api_priority_and_fairness")


def _control(request: HttpRequest) -> Control:
    context: Context = request.app.state.context
    return context.gate.control


@router.get("/dump_priority_levels")
async def dump_priority_levels(request: HttpRequest) -> PlainTextResponse:
    return PlainTextResponse(dump.priority_levels(_control(request)))


@router.get("/dump_queues")
async def dump_queues(request: HttpRequest) -> PlainTextResponse:
    return PlainTextResponse(dump.queues(_control(request)))


@router.get("/dump_requests")
async def dump_requests(request: HttpRequest, includeRequestDetails: str = "") -> PlainTextResponse:
    since = time.time() - time.monotonic()
    text = dump.requests(_control(request), lambda moment: since + moment, details=bool(includeRequestDetails))
    return PlainTextResponse(text)
