"""ID tokens of an OpenID Connect provider: signed by one of its keys, for one of our audiences, with claims that name a
user.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens ; what is asked of claims
is as in k8s.io/apiserver/plugin/pkg/authenticator/token/oidc. Groups that a token only points to (distributed claims)
are not fetched: its user is in none of them.

The keys are fetched at start and every hour, and when a token names one that is not known, at most every two seconds.
Until they are there nobody gets in by such a token.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, NamedTuple

import jwt
import orjson

from apiserver.auth.user import User, authenticated
from apiserver.streaming.later import aiohttp

_DISCOVERY = "/.well-known/openid-configuration"
_REFRESH, _RETRY, _SELDOM, _TIMEOUT = 3600.0, 10.0, 2.0, 10.0
_NBF_LEEWAY = 300.0  # that of go-oidc
_KNOWN = 10_000
ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")

log = logging.getLogger("apiserver.oidc")


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose tokens are believed, for whom they must be, and who they say it is (None = nobody)."""

    issuer: str
    audiences: frozenset[str]
    user_of: Callable[[Mapping[str, Any]], User | None]
    discovery_url: str = ""
    ca_file: str = ""
    ca_data: str = ""
    algorithms: tuple[str, ...] = ("RS256",)

    @property
    def discovery(self) -> str:
        return self.discovery_url or self.issuer.rstrip("/") + _DISCOVERY


@dataclass(frozen=True, slots=True)
class Settings:
    """The --oidc-* flags."""

    issuer: str
    client_id: str
    ca_file: str = ""
    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = ""
    groups_prefix: str = ""
    required: tuple[tuple[str, str], ...] = ()
    algorithms: tuple[str, ...] = ("RS256",)

    def check(self) -> None:
        """ValueError."""
        if not self.issuer.startswith("https://"):
            raise ValueError("--oidc-issuer-url must be an https URL")
        if not self.client_id:
            raise ValueError("--oidc-client-id is needed with --oidc-issuer-url")
        if not self.username_claim:
            raise ValueError("--oidc-username-claim must not be empty")
        for algorithm in self.algorithms:
            if algorithm not in ALGORITHMS:
                raise ValueError(f"--oidc-signing-algs: {algorithm} is not one of {', '.join(ALGORITHMS)}")

    @property
    def prefix(self) -> str:
        """Of users: names of a provider must not pass for others."""
        if not self.username_prefix and self.username_claim != "email":
            return f"{self.issuer}#"
        return "" if self.username_prefix == "-" else self.username_prefix

    def provider(self) -> Provider:
        return Provider(
            self.issuer,
            frozenset((self.client_id,)),
            lambda claims: user_of(claims, self),
            ca_file=self.ca_file,
            algorithms=self.algorithms,
        )


def user_of(claims: Mapping[str, Any], settings: Settings) -> User | None:
    """None when the claims are not as they must be."""
    name = claims.get(settings.username_claim)
    if not isinstance(name, str) or not name:
        return None
    if settings.username_claim == "email" and claims.get("email_verified", True) is not True:
        return None
    if any(claims.get(claim) != value for claim, value in settings.required):
        return None
    groups = claims.get(settings.groups_claim) if settings.groups_claim else None
    if isinstance(groups, str):
        groups = [groups]
    if groups is not None and not (isinstance(groups, list) and all(isinstance(group, str) for group in groups)):
        return None
    token_id = claims.get("jti")
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={token_id}"]} if isinstance(token_id, str) else {}
    prefixed = tuple(settings.groups_prefix + group for group in groups or ())
    return authenticated(User(settings.prefix + name, prefixed, "", extra))


class _Known(NamedTuple):
    user: User
    begins: float
    ends: float


class Oidc:
    def __init__(self, provider: Provider, now: Callable[[], datetime]) -> None:
        self._provider, self._now = provider, now
        self._tls = ssl.create_default_context(cafile=provider.ca_file or None, cadata=provider.ca_data or None)
        self._keys: list[jwt.PyJWK] = []
        self._known: dict[bytes, _Known] = {}
        self._fetching = asyncio.Lock()
        self._fetched = float("-inf")

    async def run(self) -> None:
        """Keeps the keys, until cancelled."""
        while True:
            fetched = await self._fetch()
            await asyncio.sleep(_REFRESH if fetched else _RETRY)

    def recall(self, token: str) -> User | None:
        """Of a token that was looked at before."""
        known = self._known.get(hashlib.sha256(token.encode()).digest())
        if known is None or not known.begins - _NBF_LEEWAY <= self._now().timestamp() < known.ends:
            return None
        return known.user

    async def find(self, token: str) -> User | None:
        claims = await self._verified(token)
        user = self._provider.user_of(claims) if claims is not None else None
        if claims is None or user is None:
            return None
        try:
            known = _Known(user, float(claims.get("nbf") or 0), float(claims["exp"]))
        except (KeyError, TypeError, ValueError):
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[hashlib.sha256(token.encode()).digest()] = known
        return self.recall(token)

    async def _verified(self, token: str) -> dict[str, Any] | None:
        """The claims of a token of our issuer for us, whatever the time."""
        provider = self._provider
        try:
            header = jwt.get_unverified_header(token)
            issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
        except (jwt.PyJWTError, ValueError, TypeError):
            return None
        if issuer != provider.issuer or header.get("alg") not in provider.algorithms:
            return None
        claims = self._signed(token, header)
        if claims is None:
            await self._fetch()
            claims = self._signed(token, header)
        audience = (claims or {}).get("aud")
        named = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
        return claims if any(one in provider.audiences for one in named if isinstance(one, str)) else None

    def _signed(self, token: str, header: Mapping[str, Any]) -> dict[str, Any] | None:
        for key in self._keys:
            if header.get("kid") and header["kid"] != key.key_id:
                continue
            try:
                claims: dict[str, Any] = jwt.decode(token, key.key, [str(header["alg"])], options=_SIGNATURE_ALONE)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            return claims
        return None

    async def _fetch(self) -> bool:
        """The keys anew; False when that failed, or was done just now."""
        async with self._fetching:
            if monotonic() - self._fetched < _SELDOM:
                return False
            try:
                async with asyncio.timeout(_TIMEOUT), aiohttp.ClientSession() as session:
                    document = await self._get(session, self._provider.discovery)
                    if document.get("issuer") != self._provider.issuer:
                        raise ValueError("it is of another issuer")
                    keys = jwt.PyJWKSet.from_dict(await self._get(session, str(document.get("jwks_uri", "")))).keys
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError, jwt.PyJWTError) as error:
                log.warning(
                    "the keys of %s could not be read: %s", self._provider.issuer, error or type(error).__name__
                )
                return False
            finally:
                self._fetched = monotonic()  # who waited meanwhile need not try, too
            self._keys = [key for key in keys if key.public_key_use in (None, "sig")]
            self._known.clear()  # what a key that is gone has signed
            return True

    async def _get(self, session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
        if not url.startswith("https://"):
            raise ValueError(f"{url or 'jwks_uri'} is no https URL")
        async with session.get(url, ssl=self._tls) as answer:
            if answer.status != 200:
                raise ValueError(f"{url} answers {answer.status}")
            document = orjson.loads(await answer.read())
        if not isinstance(document, dict):
            raise ValueError(f"{url} is no JSON object")
        return document


_SIGNATURE_ALONE: Any = {
    "verify_signature": True,
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False),
}
