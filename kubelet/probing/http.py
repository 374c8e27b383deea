"""HTTP requests of probes and hooks, and what upstream says when they fail.

Each is a new connection that nobody uses again: it asks whether one can be made. Certificates are not verified.
Redirects are followed within the host alone, so that nobody sends the node elsewhere. Rules: pkg/probe/http.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from kubelet.probing.target import Target, Trouble

PLAIN_ANSWER = "http: server gave HTTP response to HTTPS client"
_BODY_BYTES = 10 * 1024
_MOST_REQUESTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_OURS = ("Accept", "Accept-Encoding", "User-Agent")
"""Headers that aiohttp would add of its own."""


class HttpFailure(Exception):
    """No answer. The text is that of Go's client."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: str
    """Its first 10 KiB."""


def url_of(action: Mapping[str, Any], target: Target) -> URL:
    """What an HTTPGetAction asks for (request.go, GetProbeUrl)."""
    path = urlsplit(action.get("path") or "")
    way = quote(path.path, safe="/%:@!$&'()*+,;=~")
    way = way if way.startswith("/") else f"/{way}"
    at = authority(action.get("host") or target.address, target.port(action.get("port")))
    scheme = (action.get("scheme") or "http").lower()
    return URL(f"{scheme}://{at}{way}{'?' if path.query else ''}{path.query}", encoded=True)


def headers_of(action: Mapping[str, Any], agent: str) -> CIMultiDict[str]:
    """An Accept that is set to nothing is left out, which is upstream's way to get rid of it."""
    headers: CIMultiDict[str] = CIMultiDict()
    for header in action.get("httpHeaders") or ():
        headers.add(header["name"], header.get("value") or "")
    headers.setdefault("User-Agent", agent)
    if not headers.setdefault("Accept", "*/*"):
        del headers["Accept"]
    return headers


class Http:
    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, url: URL, headers: CIMultiDict[str], seconds: float | None = None) -> Answer:
        """HttpFailure when there is no answer in that time, Trouble when it breaks off in its body."""
        home = url.host
        headers = headers.copy()
        try:
            async with asyncio.timeout(seconds):
                for _ in range(_MOST_REQUESTS):
                    answer, to = await self._ask(url, headers)
                    if to is None or to.host != home:
                        return answer
                    url = to
                    headers.pop("Host", None)
        except TimeoutError as error:
            why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            raise HttpFailure(f'Get "{url}": {why}') from error
        raise HttpFailure(f'Get "{url}": stopped after {_MOST_REQUESTS} redirects')

    async def _ask(self, url: URL, headers: CIMultiDict[str]) -> tuple[Answer, URL | None]:
        """The answer, and where it sends us."""
        answered = False
        try:
            async with self._client().get(
                url, headers=headers, ssl=False, allow_redirects=False, skip_auto_headers=_OURS
            ) as answer:
                answered = True
                body = bytearray()
                while len(body) < _BODY_BYTES and (data := await answer.content.read(_BODY_BYTES - len(body))):
                    body += data
                to = answer.headers.get("Location", "") if answer.status in _REDIRECTS else ""
                return Answer(answer.status, body.decode(errors="replace")), url.join(URL(to)) if to else None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            if answered:
                raise Trouble(str(error) or "unexpected EOF", "failure") from error
            raise HttpFailure(f'Get "{url}": {_why(error, url)}') from error

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def _why(error: Exception, url: URL) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {url.host}: no such host"
        case aiohttp.ClientSSLError():
            reason = str(getattr(error.__cause__, "reason", "") or error)
            plain = any(word in reason for word in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"))
            return PLAIN_ANSWER if plain else f"tls: {reason.lower().replace('_', ' ')}"
        case aiohttp.ClientConnectorError():
            return dial_error(error.os_error, url.host or "", url.port or 0)
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case OSError() if error.errno:
            return f"read tcp {authority(url.host or '', url.port or 0)}: read: {_errno(error)}"
    return str(error) or "EOF"


def dial_error(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    return f"dial tcp {authority(host, port)}: connect: {_errno(error)}"


def dial_timeout(host: str, port: int) -> str:
    return f"dial tcp {authority(host, port)}: i/o timeout"


def _errno(error: OSError) -> str:
    """What the system calls it; asyncio says something else."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
