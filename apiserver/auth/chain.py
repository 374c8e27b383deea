"""Who asks, when the connection brought no certificate: the owner of the bearer token, else nobody.

A request with no credentials is anonymous; one with wrong credentials is refused, always with the same words.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode

from api.errors import Unauthorized
from apiserver.auth.accounts import Accounts
from apiserver.auth.tokenfile import Tokens
from apiserver.auth.user import ANONYMOUS, User
from apiserver.request import BEARER_PROTOCOL, Request


class Authenticator:
    def __init__(self, tokens: Tokens, accounts: Accounts) -> None:
        self._tokens = tokens
        self._accounts = accounts

    async def user(self, request: Request) -> User:
        """Unauthorized when credentials were given and none of them is good."""
        authorization = request.header(b"authorization") or _from_browser(request)
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized()
        user = await self.token_user(token)
        if user is None:
            raise Unauthorized()
        return user

    async def token_user(self, token: str) -> User | None:
        return self._tokens.find(token) or await self._accounts.authenticate(token)


def _from_browser(request: Request) -> str:
    """A token that came as a WebSocket protocol: browsers let scripts send no other header there
    (apiserver/pkg/authentication/request/websocket)."""
    for protocol in request.header(b"sec-websocket-protocol").split(","):
        if protocol.strip().startswith(BEARER_PROTOCOL):
            encoded = protocol.strip().removeprefix(BEARER_PROTOCOL)
            try:
                return "Bearer " + urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
            except ValueError as error:
                raise Unauthorized() from error
    return ""
