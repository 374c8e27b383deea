"""/openapi/v2: the schemas of all kinds as Swagger 2.0 JSON, and the frame of it as protobuf.

kubectl asks for the protobuf form to check a `kind: List` before it sends the items one by one, and skips kinds
that the document does not have: the frame alone is enough, since the server checks every item strictly.
"""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from api import schemas
from apiserver.context import Context
from apiserver.routes.openapi import definitions_of

router = APIRouter()
_TITLE = "Kubernetes"
_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_PROTOBUF_SENT = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"  # Go's mime parser knows no "@"
_LENGTH_DELIMITED = 2


@router.get("/openapi/v2")
async def document(request: HttpRequest) -> Response:
    if _PROTOBUF in request.headers.get("accept", ""):
        return Response(_frame(), media_type=_PROTOBUF_SENT)
    context: Context = request.app.state.context
    body = {
        "swagger": "2.0",
        "info": {"title": _TITLE, "version": schemas.LEVEL},
        "paths": {},
        "definitions": definitions_of(list(context.registry)),
    }
    text = orjson.dumps(body).replace(b"#/components/schemas/", b"#/definitions/")
    return Response(text, media_type="application/json")


def _frame() -> bytes:
    """openapi.v2.Document: swagger = 1, info = 2 {title = 1, version = 2}, paths = 8."""
    info = _field(1, _TITLE.encode()) + _field(2, schemas.LEVEL.encode())
    return _field(1, b"2.0") + _field(2, info) + _field(8, b"")


def _field(number: int, value: bytes) -> bytes:
    """One field of a message; ours are shorter than 128 bytes."""
    return bytes(((number << 3) | _LENGTH_DELIMITED, len(value))) + value
