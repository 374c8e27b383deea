"""Objects a pod refers to, fetched when they are needed. Askers at the same moment share one request; an answer
is used for a second, so that starting many pods of one Deployment does not fetch one config map many times. While the
server is away the last answer serves: a container that ends then can be started again."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import NamedTuple

from api.builtin import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    RUNTIME_CLASSES,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from api.errors import ApiError, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from api.meta import Obj, parse_time
from api.registry import Resource
from client import log
from client.clock import Clock
from client.http import ApiClient

_log = log.get("lookup")
_FRESH_SECONDS = 1.0
_MOST = 1000
_AWAY = (ServiceUnavailable, Timeout, TooManyRequests)
_OLDEST = timedelta(hours=24)
_JITTER = 10.0  # seconds: pods that began together need not renew together


class _Token(NamedTuple):
    token: str
    renew: datetime
    ends: datetime


class Lookup:
    def __init__(self, client: ApiClient, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._answers: dict[tuple[str, str, str], tuple[float, asyncio.Future[Obj | None]]] = {}
        self._tokens: dict[tuple[str, str, str, int], _Token] = {}

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        """None when there is none. Other failures are raised as api.errors."""
        return await self._get(CONFIG_MAPS, namespace, name)

    async def secret(self, namespace: str, name: str) -> Obj | None:
        return await self._get(SECRETS, namespace, name)

    async def claim(self, namespace: str, name: str) -> Obj | None:
        return await self._get(PERSISTENT_VOLUME_CLAIMS, namespace, name)

    async def persistent_volume(self, name: str) -> Obj | None:
        return await self._get(PERSISTENT_VOLUMES, "", name)

    async def runtime_handler(self, name: str) -> str:
        """What a RuntimeClass calls its runtime. NotFound when there is no such class."""
        found = await self._get(RUNTIME_CLASSES, "", name)
        if found is None:
            raise NotFound(f'runtimeclass.node.k8s.io "{name}" not found')
        return str(found["handler"])

    async def _get(self, res: Resource, namespace: str, name: str) -> Obj | None:
        key, now = (res.plural, namespace, name), self._clock.monotonic()
        known = self._answers.get(key)
        if known is None or now - known[0] > _FRESH_SECONDS or (known[1].done() and known[1].exception()):
            if len(self._answers) > _MOST:
                self._answers.clear()
            before = known[1].result() if known and known[1].done() and not known[1].exception() else None
            known = (now, asyncio.ensure_future(self._fetch(res, namespace, name, before)))
            self._answers[key] = known
        return await asyncio.shield(known[1])

    async def _fetch(self, res: Resource, namespace: str, name: str, before: Obj | None) -> Obj | None:
        try:
            return await self._client.get(res, name, namespace)
        except NotFound:
            return None
        except _AWAY as error:
            if before is None:
                raise
            _log.warning("the last answer is used", resource=res.plural, name=name, why=error.message)
            return before

    async def token(self, pod: Obj, audience: str, seconds: int) -> str:
        """A token of the pod's service account, bound to the pod; renewed when a fifth of its life is left or it is a
        day old. While the server gives none, the old one is used to its end."""
        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        key = (meta["uid"], account, audience, seconds)
        known = self._tokens.get(key)
        if known is not None and self._clock.now() < known.renew:
            return known.token
        try:
            made = await self._request_token(pod, account, audience, seconds)
        except ApiError as error:
            if known is None or self._clock.now() >= known.ends:
                raise
            _log.warning("token not renewed", pod=meta["name"], namespace=meta["namespace"], why=error.message)
            return known.token
        self._tokens[key] = made
        return made.token

    async def _request_token(self, pod: Obj, account: str, audience: str, seconds: int) -> _Token:
        meta = pod["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        request: Obj = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": reference,
            },
        }
        made = await self._client.create(
            SERVICE_ACCOUNTS, request, namespace=meta["namespace"], name=account, subresource="token"
        )
        ends = parse_time(made["status"]["expirationTimestamp"])
        life = timedelta(seconds=made["spec"]["expirationSeconds"])
        renew = ends - life + min(life * 0.8, _OLDEST) - timedelta(seconds=random.uniform(0, _JITTER))
        return _Token(made["status"]["token"], renew, ends)

    def forget_pod(self, uid: str) -> None:
        for key in [k for k in self._tokens if k[0] == uid]:
            del self._tokens[key]
