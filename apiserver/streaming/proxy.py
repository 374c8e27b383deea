"""A reverse proxy: pods/proxy, services/proxy, nodes/proxy, aggregated API servers, and the kubelet's streams.

    answer = await context.proxy.relay(request, url, tls=…, headers=…, host=…, prepend=…)

`url` is absolute and escaped (`scheme://host:port/path?query`). The request's method, headers and body go to it,
without what concerns one hop or was for us alone (credentials, impersonation, `X-Remote-*`); `headers` are added.
Bodies stream both ways, and each side is read only as fast as the other takes it. A request that asks for an
upgrade (WebSocket, SPDY/3.1 or any other) is passed on as raw bytes. Everything ends when either side ends.

  tls          for https: how to check the server, and our certificate; `server_name` is whom it must name
  host         the Host header; without it, the client's own
  prepend      what our path has in front of the other side's: links in `Location` and HTML get it too
               (apimachinery/pkg/util/proxy/transport.go); None leaves answers alone

ServiceUnavailable when the other side cannot be reached, in upstream's words. Its answers are passed as they are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from urllib.parse import urlsplit

from api.errors import ServiceUnavailable
from apiserver.request import Request
from apiserver.response import Answer, Header, Reply, Stream
from apiserver.streaming import links, tunnel
from apiserver.streaming.later import aiohttp, yarl

log = logging.getLogger("apiserver.proxy")

_CONNECT_SECONDS = 30
_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip
_OURS = frozenset({b"authorization", b"expect", b"host", b"x-forwarded-for"})
_OUR_PREFIXES = (b"impersonate-", b"x-remote-")
_NO_BODY = (204, 304)


class Proxy:
    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def http(self) -> aiohttp.ClientSession:
        """The shared client: no cookies, no redirects, no timeout but for connecting."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def relay(
        self,
        request: Request,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        headers: Sequence[Header] = (),
        host: str = "",
        prepend: str | None = None,
    ) -> Answer:
        passed = [*_passed_on(request, host), *headers]
        if prepend is not None:
            passed.append((b"x-forwarded-uri", _forwarded_uri(prepend, url).encode()))
        try:
            if tunnel.wanted(request):
                return await tunnel.open_tunnel(request, url, tls, server_name, passed, _CONNECT_SECONDS)
            return await self._relay(request, url, tls, server_name, passed, prepend)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ServiceUnavailable(f"error trying to reach service: {dial_failure(error, url)}") from error

    async def _relay(
        self,
        request: Request,
        url: str,
        tls: ssl.SSLContext | None,
        server_name: str,
        headers: Sequence[Header],
        prepend: str | None,
    ) -> Answer:
        response = await self.http().request(
            request.method,
            yarl.URL(url, encoded=True),
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
            data=request.pieces() if _has_body(request) else None,
            allow_redirects=False,
            ssl=tls if tls is not None else True,
            server_hostname=server_name or None,
        )
        told = {name.lower(): value for name, value in response.raw_headers}
        dropped = _HOP | _named(told.get(b"connection", b"")) | {b"date"}
        if response.status in _NO_BODY:
            dropped |= {b"content-length"}
        given = [(n, v) for n, v in response.raw_headers if n.lower() not in dropped]
        pieces = _pieces(request, response)
        if prepend is not None:
            source = links.Source(prepend, urlsplit(url).netloc, request.header(b"host"))
            given = [(n, source.rewritten(v)) if n.lower() == b"location" else (n, v) for n, v in given]
            if told.get(b"content-type", b"").partition(b";")[0].strip() == b"text/html" and request.method != "HEAD":
                pieces = links.rewrite(pieces, told.get(b"content-encoding", b""), source)
                given = [(n, v) for n, v in given if n.lower() not in (b"content-length", b"content-encoding")]
        return Stream(pieces, b"", response.status, given)


def dial_failure(error: BaseException, url: str) -> str:
    """`dial tcp 10.0.0.1:80: connect: connection refused`, as people search for it."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    where = f"dial tcp {urlsplit(url).netloc}"
    if isinstance(cause, TimeoutError):
        return f"{where}: i/o timeout"
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return f"{where}: connect: {os.strerror(cause.errno).lower()}"
    return str(error) or repr(error)


def slash_redirect(request: Request) -> Reply:
    """What a proxied root without its slash is answered with, so that relative links work (issue.k8s.io/4958)."""
    query: bytes = request.scope["query_string"]
    location = request.scope["raw_path"] + b"/" + (b"?" + query if query else b"")
    return Reply(b"", 301, b"", [(b"location", location)])


def outgoing(headers: Iterable[Header]) -> list[Header]:
    """Without what concerns one hop only, and what was for us alone."""
    given = list(headers)
    dropped = _HOP | _OURS
    for name, value in given:
        if name == b"connection":
            dropped |= _named(value)
    return [(n, v) for n, v in given if n not in dropped and not n.startswith(_OUR_PREFIXES)]


def _passed_on(request: Request, host: str) -> list[Header]:
    client = request.scope.get("client") or ("", 0)
    before = request.header(b"x-forwarded-for")
    forwarded = f"{before}, {client[0]}" if before else str(client[0])
    return [
        (b"host", (host or request.header(b"host")).encode("latin-1")),
        *outgoing(request.scope["headers"]),
        *([(b"x-forwarded-for", forwarded.encode("latin-1"))] if forwarded else []),
    ]


def _named(connection: bytes) -> frozenset[bytes]:
    """The headers that a Connection header calls its own."""
    return frozenset(token.strip().lower() for token in connection.split(b","))


def _forwarded_uri(prepend: str, url: str) -> str:
    return prepend.rstrip("/") + "/" + urlsplit(url).path.lstrip("/")


def _has_body(request: Request) -> bool:
    return request.header(b"content-length") not in ("", "0") or bool(request.header(b"transfer-encoding"))


async def _pieces(request: Request, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. One that breaks off breaks the client's connection: it must not look whole."""
    try:
        async for piece in response.content.iter_any():
            yield piece
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        log.info("a proxied answer broke off: %s", error)
        request.abort()
    finally:
        response.close()
