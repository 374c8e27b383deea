# ruff: noqa: E402  (what must not be imported has to be said before the imports)
"""The connection to one apiserver: requests and streams, with every failure translated to api.errors.

What the server said is told by its Status, a broken or refused connection is ServiceUnavailable, no answer in
time is Timeout (the write may have happened). Only GETs are tried again on a broken connection; any request
is repeated when the server asks for it (429 with Retry-After), since then it has done nothing.

httpx speaks through aiohttp's transport. `send_hot` uses the same aiohttp session directly, which costs a
third of the CPU. There is one pool of connections and one TLS context.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, cast
from urllib.parse import urlencode, urlsplit

# httpx imports its own command line (click, rich, pygments) when it can: memory that no daemon has a use for.
sys.modules.setdefault("httpx._main", cast(Any, None))

# aiohttp reads the system's certificates at import, for contexts of its own that we never use. OpenSSL's
# variable says where they are: nowhere, for so long.
_certificates = os.environ.get("SSL_CERT_FILE")
os.environ["SSL_CERT_FILE"] = os.devnull

import aiohttp

if _certificates is None:
    del os.environ["SSL_CERT_FILE"]
else:
    os.environ["SSL_CERT_FILE"] = _certificates

import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from api import errors
from client.clock import Clock, RealClock
from client.kubeconfig import RestConfig

Params = Mapping[str, str | int | bool | list[str]]

_CONNECT_SECONDS, _READ_SECONDS, _POOL = 5.0, 34.0, 256
_GET_ATTEMPTS, _BUSY_ATTEMPTS = 3, 5
# The transport hands on what of aiohttp it has no httpx name for.
_BROKEN = (httpx.HTTPError, aiohttp.ClientError)


class Connection:
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
            except (*_BROKEN, TimeoutError, OSError) as error:
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
        except _BROKEN as error:
            raise self._unreachable(error) from error

    async def send_hot(self, method: str, path: str, params: Params | None, body: bytes, content_type: str) -> bytes:
        """For requests that come by the thousand: no retries, the body of the answer alone."""
        if not self._direct:
            headers = {"Content-Type": content_type}
            return (await self.request(method, path, params=params, content=body, headers=headers)).content
        try:
            async with self._aiohttp().request(
                method,
                self._url(path, params),
                data=body,
                headers={**self._headers, "Content-Type": content_type},
                server_hostname=self.config.tls_server_name or None,
                allow_redirects=False,
            ) as response:
                content = await response.read()
                if response.status < 400:
                    return content
                status = response.status
        except (*_BROKEN, TimeoutError, OSError) as error:
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
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS),
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


def _error(code: int, content: bytes) -> errors.ApiError:
    try:
        status = orjson.loads(content)
    except orjson.JSONDecodeError:
        status = {"message": content.decode(errors="replace").strip()[:512]}
    return errors.from_status(status if isinstance(status, dict) else {}, code)
