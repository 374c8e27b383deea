# ruff: noqa: E402  (what must not be imported has to be said before the imports)
"""HTTP to one apiserver: the verbs on resources, watch, and raw requests.

Every failure leaves as one of api.errors: what the server said by its Status, a broken or refused connection
as ServiceUnavailable, no answer in time as Timeout (the write may have happened). Only GETs are tried again
on a broken connection; any request is repeated when the server asks for it (429 with Retry-After), since then
it has done nothing.

One ApiClient per process: it keeps one pool of connections and one TLS context. httpx speaks through
aiohttp's transport; the two calls that run thousands of times (binding, status) use the same aiohttp session
directly, which costs a third of the CPU.
"""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

# httpx imports its own command line (click, rich, pygments) when it can: memory that no daemon has a use for.
sys.modules.setdefault("httpx._main", cast(Any, None))

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from api import errors
from api.meta import Obj, name, namespace
from api.registry import Resource
from client.clock import Clock, RealClock
from client.kubeconfig import RestConfig

Params = Mapping[str, str | int | bool | list[str]]

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_HOT = ("binding", "status")
_CONNECT_SECONDS, _READ_SECONDS, _POOL = 5.0, 34.0, 256
_WATCH_SILENCE = 150.0  # a healthy server sends a bookmark each minute
_GET_ATTEMPTS, _BUSY_ATTEMPTS = 3, 5


class ApiClient:
    def __init__(
        self,
        config: RestConfig,
        *,
        user_agent: str = "sampan",
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` replaces the network, for tests."""
        self.config = config
        self._clock = clock or RealClock()
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if config.token:
            self._headers["Authorization"] = f"Bearer {config.token}"
        self._ssl = config.ssl_context()
        self._session: aiohttp.ClientSession | None = None
        self._direct = transport is None
        self._http = httpx.AsyncClient(
            transport=transport or AiohttpTransport(verify=self._ssl or False, client=self._aiohttp),
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            headers=self._headers,
            trust_env=False,
        )
        self._extensions = {"sni_hostname": config.tls_server_name} if config.tls_server_name else {}

    async def close(self) -> None:
        await self._http.aclose()
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The verbs. `params` adds query parameters such as fieldManager, fieldValidation or dryRun.

    async def get(self, res: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Obj:
        return await self._object("GET", res.path(namespace, name, subresource))

    async def list(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Obj:
        """The whole List object; `items` is always a list."""
        params = _selectors(labels, fields)
        if limit:
            params["limit"] = str(limit)
        if continue_token:
            params["continue"] = continue_token
        if resource_version:
            params["resourceVersion"] = resource_version
        found = await self._object("GET", res.path(namespace), params)
        found["items"] = found.get("items") or []
        return found

    async def create(
        self,
        res: Resource,
        obj: Obj,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        params: Params | None = None,
    ) -> Obj:
        """POST. `name` and `subresource` for those that are created: binding, eviction, token."""
        where = namespace or _namespace(obj)
        return await self._object("POST", res.path(where, name, subresource), params, obj)

    async def update(
        self, res: Resource, obj: Obj, *, subresource: str = "", params: Params | None = None
    ) -> Obj:
        """PUT: Conflict when the object's resourceVersion is no longer the current one."""
        return await self._object("PUT", res.path(namespace(obj), name(obj), subresource), params, obj)

    async def patch(
        self,
        res: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str = "",
        kind: str = "merge",
        subresource: str = "",
        params: Params | None = None,
    ) -> Obj:
        """`kind` is merge, strategic, json or apply (which needs the parameter fieldManager)."""
        path = res.path(namespace, name, subresource)
        return await self._object("PATCH", path, params, patch, PATCH_TYPES[kind])

    async def delete(
        self,
        res: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
        params: Params | None = None,
    ) -> Obj:
        """`uid` and `resource_version` are preconditions: Conflict when they no longer hold."""
        options = _delete_options(grace_period, uid, resource_version, propagation)
        return await self._object("DELETE", res.path(namespace, name), params, options)

    async def delete_collection(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace_period: int | None = None,
        propagation: str = "",
    ) -> Obj:
        options = _delete_options(grace_period, "", "", propagation)
        return await self._object("DELETE", res.path(namespace), _selectors(labels, fields), options)

    async def watch(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        bookmarks: bool = True,
        send_initial: bool = False,
        seconds: int = 0,
    ) -> AsyncGenerator[tuple[str, Obj], None]:
        """(ADDED | MODIFIED | DELETED | BOOKMARK, object) until the server ends it (after `seconds`;
        0 = some minutes). An ERROR event is raised: Expired when `resource_version` is too old."""
        params = _selectors(labels, fields)
        params["watch"] = "true"
        params["timeoutSeconds"] = str(seconds or random.randint(290, 590))
        if bookmarks:
            params["allowWatchBookmarks"] = "true"
        if resource_version:
            params["resourceVersion"] = resource_version
        if send_initial:
            params["sendInitialEvents"] = "true"
            params["resourceVersionMatch"] = "NotOlderThan"
        path = res.path(namespace)
        async with self.stream("GET", path, params=params, read_timeout=_WATCH_SILENCE) as response:
            async for line in lines(response):
                event = orjson.loads(line)
                if event["type"] == "ERROR":
                    status = event.get("object") or {}
                    raise errors.from_status(status, int(status.get("code") or 500))
                yield event["type"], event["object"]

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Any request; the response is read whole. 4xx and 5xx are raised."""
        body, sent = content, dict(headers or {})
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        for attempt in range(1, _BUSY_ATTEMPTS + 1):
            response = await self._exchange(method, path, params, body, sent)
            if response.status_code < 400:
                return response
            wait = response.headers.get("Retry-After", "")
            if response.status_code != 429 or not wait.isdigit() or attempt == _BUSY_ATTEMPTS:
                break
            await self._clock.sleep(min(int(wait), 10))
        raise _error(response.status_code, response.content)

    async def _exchange(
        self, method: str, path: str, params: Params | None, body: bytes | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        attempt = 1
        while True:
            try:
                return await self._http.request(
                    method,
                    self._url(path, params),
                    content=body,
                    headers=headers,
                    extensions=self._extensions,
                )
            except httpx.HTTPError as error:
                if method != "GET" or attempt == _GET_ATTEMPTS or isinstance(error, httpx.ReadTimeout):
                    raise self._unreachable(error) from error
            await self._clock.sleep(0.05 * attempt)
            attempt += 1

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        read_timeout: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """A response whose body is read as it comes (`aiter_raw`). Errors while reading are ours too."""
        timeout = httpx.Timeout(read_timeout, connect=_CONNECT_SECONDS)
        sent = dict(headers or {})
        if json is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            async with self._http.stream(
                method,
                self._url(path, params),
                content=None if json is None else orjson.dumps(json),
                headers=sent,
                timeout=timeout,
                extensions=self._extensions,
            ) as response:
                if response.status_code >= 400:
                    raise _error(response.status_code, await response.aread())
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def _object(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Obj:
        if self._direct and method != "GET" and path.endswith(_HOT):
            content = await self._send_hot(method, path, params, body, content_type)
        else:
            response = await self.request(
                method,
                path,
                params=params,
                content=None if body is None else orjson.dumps(body),
                headers={} if body is None else {"Content-Type": content_type},
            )
            content = response.content
        try:
            answer: Obj = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise errors.InternalError(
                f"{method} {path}: the server's answer is not JSON: {error}"
            ) from error
        return answer

    async def _send_hot(
        self, method: str, path: str, params: Params | None, body: Any, content_type: str
    ) -> bytes:
        try:
            async with self._aiohttp().request(
                method,
                self._url(path, params),
                data=orjson.dumps(body),
                headers={**self._headers, "Content-Type": content_type},
                server_hostname=self.config.tls_server_name or None,
                allow_redirects=False,
            ) as response:
                content = await response.read()
                if response.status < 400:
                    return content
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from error
        raise _error(status, content)

    def _aiohttp(self) -> aiohttp.ClientSession:
        """The one session; made at the first request, because it belongs to the running loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(
                ssl=self._ssl if self._ssl is not None else True, limit=_POOL, keepalive_timeout=30
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
                ),
            )
        return self._session

    def _url(self, path: str, params: Params | None) -> str:
        if not params:
            return self.config.server + path
        shown = {k: str(v).lower() if isinstance(v, bool) else v for k, v in params.items()}
        return f"{self.config.server}{path}?{urlencode(shown, doseq=True)}"

    def _unreachable(self, error: Exception) -> errors.ApiError:
        host = urlsplit(self.config.server).netloc
        why = str(error) or type(error).__name__
        if isinstance(error, (httpx.ReadTimeout, aiohttp.SocketTimeoutError)):
            return errors.Timeout(f"no answer from {host} in time: {why}")
        return errors.ServiceUnavailable(f"no connection to {host}: {why}")


async def lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body's lines as they come, without their ends. A last line without an end was cut off: dropped."""
    parts: list[bytes] = []
    async for chunk in response.aiter_raw():
        head, newline, rest = chunk.partition(b"\n")
        parts.append(head)
        if not newline:
            continue
        first = b"".join(parts)
        if first:
            yield first
        *whole, tail = rest.split(b"\n")
        for line in whole:
            if line:
                yield line
        parts = [tail]


def _namespace(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("namespace") or "")


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}


def _delete_options(grace_period: int | None, uid: str, resource_version: str, propagation: str) -> Obj:
    options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period is not None:
        options["gracePeriodSeconds"] = grace_period
    if propagation:
        options["propagationPolicy"] = propagation
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
    if preconditions:
        options["preconditions"] = preconditions
    return options


def _error(code: int, content: bytes) -> errors.ApiError:
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        status = {"message": content.decode(errors="replace").strip()[:512]}
    return errors.from_status(status if isinstance(status, dict) else {}, code)
