# ruff: noqa: E402  (what must not be imported has to be said before the imports)
"""The connection to one apiserver: requests and streams, with every failure translated to api.errors.

What the server said is told by its Status, a broken or refused connection is ServiceUnavailable, no answer in
time is Timeout (the write may have happened). Only GETs are tried again on a broken connection; any request
is repeated when the server asks for it (429 with Retry-After), since then it has done nothing.

httpx speaks through a transport of ours. `send_hot` uses it without httpx, which costs a third of the CPU. There is
one pool of connections and one TLS context.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, cast
from urllib.parse import urlencode, urlsplit

# httpx imports its own command line (click, rich, pygments) when it can: memory that no daemon has a use for.
sys.modules.setdefault("httpx._main", cast(Any, None))

import httpx
import orjson

from api import errors
from client.clock import Clock, RealClock
from client.kubeconfig import RestConfig
from client.transport import Transport

Params = Mapping[str, str | int | bool | list[str]]

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 34.0
_GET_ATTEMPTS, _BUSY_ATTEMPTS = 3, 5


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
        self._direct = None if transport else Transport(config.server, config.ssl_context(), config.tls_server_name)
        self._http = httpx.AsyncClient(
            transport=transport or self._direct,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            headers=self._headers,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

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
                return await self._http.request(method, self._url(path, params), content=body, headers=headers)
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
            ) as response:
                if response.status_code >= 400:
                    raise _error(response.status_code, await response.aread())
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def send_hot(self, method: str, path: str, params: Params | None, body: bytes, content_type: str) -> bytes:
        """For requests that come by the thousand: no retries, the body of the answer alone."""
        if self._direct is None:
            headers = {"Content-Type": content_type}
            return (await self.request(method, path, params=params, content=body, headers=headers)).content
        try:
            status, content = await self._direct.exchange(
                method,
                self._url(path, params),
                {**self._headers, "Content-Type": content_type},
                body,
                connect=_CONNECT_SECONDS,
                read=_READ_SECONDS,
            )
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if status >= 400:
            raise _error(status, content)
        return content

    def _url(self, path: str, params: Params | None) -> str:
        if not params:
            return self.config.server + path
        shown = {k: str(v).lower() if isinstance(v, bool) else v for k, v in params.items()}
        return f"{self.config.server}{path}?{urlencode(shown, doseq=True)}"

    def _unreachable(self, error: Exception) -> errors.ApiError:
        host = urlsplit(self.config.server).netloc
        why = str(error) or type(error).__name__
        if isinstance(error, httpx.ReadTimeout):
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
