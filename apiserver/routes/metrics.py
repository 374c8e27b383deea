"""/metrics in Prometheus' text format."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from apiserver.context import Context

router = APIRouter()


@router.get("/metrics")
async def metrics(request: HttpRequest) -> Response:
    context: Context = request.app.state.context
    return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
