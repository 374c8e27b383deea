"""Who signs ServiceAccount tokens, and with which keys: OpenID Connect discovery, for those who check tokens.

https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
"""

from __future__ import annotations

import orjson
from fastapi import APIRouter
from fastapi import Request as HttpRequest
from fastapi.responses import Response

from api.meta import Obj
from apiserver.context import Context

router = APIRouter()
CONFIGURATION, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"
_HEADERS = {"Cache-Control": "public, max-age=3600"}


def _reply(document: Obj, media: str) -> Response:
    return Response(orjson.dumps(document), media_type=media, headers=_HEADERS)


@router.get(CONFIGURATION)
async def configuration(request: HttpRequest) -> Response:
    context: Context = request.app.state.context
    host = context.options.advertise_address
    keys = context.accounts.public_keys()
    document = {
        "issuer": context.accounts.issuer,
        "jwks_uri": context.options.account_jwks_uri
        or f"https://{f'[{host}]' if ':' in host else host}:{context.options.secure_port}{KEYS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key["alg"] for key in keys}),
    }
    return _reply(document, "application/json")


@router.get(KEYS)
async def keys(request: HttpRequest) -> Response:
    context: Context = request.app.state.context
    return _reply({"keys": context.accounts.public_keys()}, "application/jwk-set+json")
