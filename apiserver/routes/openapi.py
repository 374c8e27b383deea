"""/openapi/v3, an index and a document per group version, and /openapi/v2, one document of everything.

Caching as upstream's kube-openapi: the index names each document with its hash; asked for with it, a document may be
kept for ever, and with an outdated one the client is sent to the current.
"""

from __future__ import annotations

import gzip
import zlib
from datetime import timedelta
from email.utils import format_datetime

import orjson
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import RedirectResponse, Response

from api.errors import NotFound
from apiserver import negotiate
from apiserver.context import Context
from apiserver.openapi.documents import Documents

router = APIRouter()
_JSON = "application/json"
_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PROTOBUF_OF_OLD = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"  # Go's mime parser knows no "@"


def _documents(request: HttpRequest) -> Documents:
    found: Documents = request.app.state.documents
    return found


@router.get("/openapi/v3")
async def index(request: HttpRequest) -> Response:
    documents = _documents(request)
    context: Context = request.app.state.context
    behind = context.aggregation.documents()
    tag = (
        f'"{documents.hash_of_all()}{zlib.crc32(repr(behind).encode()):X}"'
        if behind
        else f'"{documents.hash_of_all()}"'
    )
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    listed = {name: {"serverRelativeURL": _url(name, hash_)} for name, hash_ in documents.hashes().items()}
    listed |= {name: {"serverRelativeURL": url} for name, url in behind.items()}
    return Response(orjson.dumps({"paths": listed}), media_type=_JSON, headers={"etag": tag})


@router.get("/openapi/v3/{name:path}")
async def version3(request: HttpRequest, name: str) -> Response:
    documents, name = _documents(request), name.strip("/")
    current = documents.hashes().get(name)
    if current is None:
        raise NotFound("the server could not find the requested resource")
    if negotiate.first_of(request.headers.get("accept", ""), (_JSON,)) is None:
        return Response(status_code=406)
    headers = {"etag": f'"{current}"', "vary": "Accept"}
    asked = request.query_params.get("hash")
    if asked and asked != current:
        return RedirectResponse(_url(name, current), 301, headers)
    if asked:
        context: Context = request.app.state.context
        headers["cache-control"] = "public, immutable"
        headers["expires"] = format_datetime(context.now() + timedelta(days=365), usegmt=True)
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return _packed(request, await documents.version3(name), _JSON, headers)


@router.get("/openapi/v2")
async def version2(request: HttpRequest) -> Response:
    documents = _documents(request)
    chosen = negotiate.first_of(request.headers.get("accept", ""), (_JSON, _PROTOBUF, _PROTOBUF_OF_OLD))
    if chosen is None:
        return Response(status_code=406)
    form = "JSON" if chosen == _JSON else "PB"
    headers = {"etag": f'"{form}{documents.hash_of_all()}"', "vary": "Accept"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    body = await documents.version2(as_protobuf=chosen != _JSON)
    return _packed(request, body, _JSON if chosen == _JSON else _PROTOBUF, headers)


def _url(name: str, hash_: str) -> str:
    return f"/openapi/v3/{name}?hash={hash_}"


def _packed(request: HttpRequest, body: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """As it is kept for those who can unpack it."""
    if "gzip" in request.headers.get("accept-encoding", ""):
        packed = {**headers, "content-encoding": "gzip", "vary": "Accept, Accept-Encoding"}
        return Response(body, media_type=media_type, headers=packed)
    return Response(gzip.decompress(body), media_type=media_type, headers=headers)
