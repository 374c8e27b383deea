"""Who asks, when the connection brought no certificate: the owner of the bearer token, else nobody.

A request with no credentials is anonymous; one with wrong credentials is refused, always with the same words.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import NamedTuple

from api.errors import Unauthorized
from apiserver.auth.accounts import Accounts, Owner
from apiserver.auth.bootstrap_tokens import BootstrapTokens
from apiserver.auth.oidc import Oidc
from apiserver.auth.tokenfile import Tokens
from apiserver.auth.user import ANONYMOUS, User
from apiserver.request import BEARER_PROTOCOL, Request


class Anonymous(NamedTuple):
    """Whether requests without credentials are let in, and where; None = everywhere."""

    enabled: bool = True
    paths: frozenset[str] | None = None

    def at(self, path: str) -> bool:
        return self.enabled and (self.paths is None or path in self.paths)


EVERYWHERE = Anonymous()


class Authenticator:
    def __init__(
        self,
        tokens: Tokens,
        bootstrap: BootstrapTokens | None,
        accounts: Accounts,
        oidc: Sequence[Oidc] = (),
        *,
        anonymous: Anonymous = EVERYWHERE,
    ) -> None:
        self._plain = [tokens.find]
        if bootstrap is not None:
            self._plain.append(bootstrap.find)
        self._plain += [one.recall for one in oidc]
        self._accounts, self._oidc = accounts, oidc
        self._anonymous = anonymous

    async def user(self, request: Request, *, anonymous: bool = True) -> User:
        """Unauthorized when credentials were given and none of them is good; or none, and that will not do."""
        authorization = request.header(b"authorization") or _from_browser(request)
        if not authorization and anonymous and self._anonymous.at(request.path):
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        found = await self.owner(token) if scheme.lower() == "bearer" and token else None
        if found is None:
            raise Unauthorized()
        request.annotations.update(found.notes)
        return found.user

    async def owner(self, token: str, audiences: Sequence[str] = ()) -> Owner | None:
        """Whose token it is, and for which of the audiences (without, the server's). Only tokens of ServiceAccounts
        know of audiences; all others are for the server."""
        ours = self._accounts.audiences
        shared = [audience for audience in audiences or ours if audience in ours]
        if shared:
            for find in self._plain:
                if (user := find(token)) is not None:
                    return Owner(user, shared)
        found = await self._accounts.authenticate(token, audiences)
        if found is None and shared:
            for provider in self._oidc:
                if (user := await provider.find(token)) is not None:
                    return Owner(user, shared)
        return found

    async def run(self) -> None:
        """What has to be kept current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for provider in self._oidc:
                group.create_task(provider.run())


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
