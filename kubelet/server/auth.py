"""Who asks the kubelet, and whether he may: both are the apiserver's to say.

A caller is known by a client certificate of the cluster's CA, or by a bearer token, which a TokenReview judges. What he
may do is a SubjectAccessReview of the node's subresource that his path stands for. Answers are kept for as long as the
configuration says; askers of the same thing at the same moment share one request. Without an answer nobody gets in.

Rules and wording: pkg/kubelet/server/{auth,server}.go; the table of subresources: KEP-2862.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from api.errors import ApiError, Forbidden, InternalError, Unauthorized
from api.meta import Obj
from client import log
from client.clock import Clock
from client.http import ApiClient
from kubelet.configuration import Configuration

_log = log.get("server")
_MOST = 2000
_VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = {
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "checkpoint": ("checkpoint",),
    "healthz": ("healthz", "proxy"),
    "pods": ("pods", "proxy"),
    "runningpods": ("pods", "proxy"),
    "configz": ("configz", "proxy"),
}
"""By the first part of the path; to be granted one of them is enough. All else is nodes/proxy."""


@dataclass(frozen=True, slots=True)
class User:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)


def server_context(cert: str, key: str, ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    # Optional, so that a caller without one may bring a token, and is told 401 rather than losing the connection.
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def certified(certificate: Mapping[str, Any] | None) -> User | None:
    """Whom a verified certificate, as ssl.getpeercert gives it, speaks for; None without one."""
    named: dict[str, list[str]] = {}
    for part in (certificate or {}).get("subject") or ():
        for key, value in part:
            named.setdefault(key, []).append(value)
    if not named.get("commonName"):
        return None
    return User(named["commonName"][-1], (*named.get("organizationName", ()), "system:authenticated"))


def bearer(authorization: str) -> str:
    """The token of an Authorization header, or ""."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def subresources(path: str) -> tuple[str, ...]:
    """What of the node a path asks for."""
    return _SUBRESOURCES.get(path.strip("/").partition("/")[0], ("proxy",))


class Access:
    def __init__(self, client: ApiClient, node_name: str, configuration: Configuration, clock: Clock) -> None:
        self._client, self._node, self._configuration, self._clock = client, node_name, configuration, clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._asked: dict[Hashable, asyncio.Future[tuple[float, Any]]] = {}

    async def admit(self, method: str, path: str, certificate: Mapping[str, Any] | None, authorization: str) -> User:
        """Unauthorized or Forbidden, or InternalError when the apiserver does not tell."""
        user = certified(certificate)
        token = bearer(authorization)
        if user is None and token:
            user = await self._owner(token)
        if user is None:
            raise Unauthorized
        verb, parts = _VERBS.get(method, ""), subresources(path)
        for part in parts:
            if await self._allowed(user, verb, part):
                return user
        raise Forbidden(
            f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(parts)}])\n"
        )

    async def _owner(self, token: str) -> User | None:
        async def ask() -> tuple[float, User | None]:
            status = await self._review("authentication", "TokenReview", {"token": token})
            if not status.get("authenticated"):
                return self._configuration.token_review_seconds, None
            told = status.get("user") or {}
            groups = dict.fromkeys([*(told.get("groups") or ()), "system:authenticated"])
            extra = {key: tuple(values) for key, values in (told.get("extra") or {}).items()}
            return self._configuration.token_review_seconds, User(
                told.get("username", ""), tuple(groups), told.get("uid", ""), extra
            )

        try:
            found: User | None = await self._answer(sha256(token.encode()).digest(), ask)
        except ApiError as error:
            _log.error("a token was not reviewed", why=error.message)
            raise Unauthorized from error
        return found

    async def _allowed(self, user: User, verb: str, subresource: str) -> bool:
        async def ask() -> tuple[float, bool]:
            wanted = {"version": "v1", "resource": "nodes", "name": self._node}
            spec: Obj = {
                "user": user.name,
                "groups": list(user.groups),
                "uid": user.uid,
                "extra": {key: list(values) for key, values in user.extra.items()},
                "resourceAttributes": {**wanted, "verb": verb, "subresource": subresource},
            }
            allowed = bool((await self._review("authorization", "SubjectAccessReview", spec)).get("allowed"))
            return self._configuration.allowed_seconds if allowed else self._configuration.denied_seconds, allowed

        extra = tuple(sorted(user.extra.items()))
        try:
            return bool(await self._answer((user.name, user.groups, user.uid, extra, verb, subresource), ask))
        except ApiError as error:
            _log.error("access was not reviewed", user=user.name, why=error.message)
            asked = f"user={user.name}, verb={verb}, resource=nodes, subresource={subresource}"
            raise InternalError(f"Authorization error ({asked})") from error

    async def _review(self, group: str, kind: str, spec: Obj) -> Obj:
        version = f"{group}.k8s.io/v1"
        body: Obj = {"apiVersion": version, "kind": kind, "metadata": {}, "spec": spec}
        answer = await self._client.request("POST", f"/apis/{version}/{kind.lower()}s", json=body)
        status: Obj = answer.json().get("status") or {}
        return status

    async def _answer(self, key: Hashable, ask: Callable[[], Awaitable[tuple[float, Any]]]) -> Any:
        """`ask` tells for how long its answer holds. A failure is kept for nobody."""
        known = self._kept.get(key)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        if key not in self._asked:
            self._asked[key] = asyncio.ensure_future(ask())
            self._asked[key].add_done_callback(lambda _: self._asked.pop(key, None))
        seconds, value = await asyncio.shield(self._asked[key])
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[key] = (self._clock.monotonic() + seconds, value)
        return value
