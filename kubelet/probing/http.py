"""HTTP requests of probes and hooks, and what upstream says when they fail.

Each is a new connection that nobody uses again: it asks whether one can be made. Certificates are not verified.
Redirects are followed within the host alone, so that nobody sends the node elsewhere. Rules: pkg/probe/http. Written
on bare streams: a probe costs a third of what it does with a client library.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from httptools import HttpParserError, HttpResponseParser

from kubelet.probing import dial
from kubelet.probing.target import Target, Trouble

PLAIN_ANSWER = "http: server gave HTTP response to HTTPS client"
_BODY_BYTES = 10 * 1024
_MOST_REQUESTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}

Headers = tuple[tuple[str, str], ...]


class HttpFailure(Exception):
    """No answer. The text is that of Go's client."""


@dataclass(frozen=True, slots=True)
class Url:
    scheme: str
    host: str
    port: int
    path: str
    """With the query."""

    @property
    def at(self) -> str:
        return dial.authority(self.host, self.port)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.at}{self.path}"

    def join(self, location: str) -> Url:
        """Where a redirect leads. ValueError when that is no address."""
        to = urlsplit(urljoin(str(self), location))
        port = to.port or _PORTS.get(to.scheme, 0)
        return Url(to.scheme, to.hostname or "", port, (to.path or "/") + ("?" + to.query if to.query else ""))


@dataclass(slots=True)
class Answer:
    status: int = 0
    body: str = ""
    """Its first 10 KiB."""
    location: str = ""


def url_of(action: Mapping[str, Any], target: Target) -> Url:
    """What an HTTPGetAction asks for (request.go, GetProbeUrl)."""
    parts = urlsplit(action.get("path") or "")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~")
    return Url(
        (action.get("scheme") or "http").lower(),
        action.get("host") or target.address,
        target.port(action.get("port")),
        (path if path.startswith("/") else f"/{path}") + ("?" + parts.query if parts.query else ""),
    )


def headers_of(action: Mapping[str, Any], agent: str) -> Headers:
    """An Accept that is set to nothing is left out, which is upstream's way to get rid of it."""
    given = tuple((header["name"], header.get("value") or "") for header in action.get("httpHeaders") or ())
    names = {name.lower() for name, _ in given}
    usual = (("User-Agent", agent), ("Accept", "*/*"))
    return (
        *(header for header in given if header[1] or header[0].lower() != "accept"),
        *(header for header in usual if header[0].lower() not in names),
    )


def without(headers: Headers, name: str) -> Headers:
    return tuple(header for header in headers if header[0].lower() != name)


async def get(url: Url, headers: Headers, seconds: float | None = None) -> Answer:
    """HttpFailure when there is no answer in that time, Trouble when it breaks off in its body."""
    home = url.host
    try:
        async with asyncio.timeout(seconds):
            for _ in range(_MOST_REQUESTS):
                answer = await _ask(url, headers)
                to = _redirect(url, answer)
                if to is None or to.host != home:
                    return answer
                url, headers = to, without(headers, "host")
    except TimeoutError as error:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise HttpFailure(f'Get "{url}": {why}') from error
    raise HttpFailure(f'Get "{url}": stopped after {_MOST_REQUESTS} redirects')


def _redirect(url: Url, answer: Answer) -> Url | None:
    if answer.status not in _REDIRECTS or not answer.location:
        return None
    try:
        return url.join(answer.location)
    except ValueError as error:
        raise HttpFailure(f'Get "{url}": failed to parse Location header "{answer.location}": {error}') from error


async def _ask(url: Url, headers: Headers) -> Answer:
    request = _request(url, headers)
    secure = url.scheme == "https"
    try:
        reader, writer = await asyncio.open_connection(
            url.host, url.port, ssl=_tls() if secure else None, server_hostname=url.host if secure else None
        )
    except ssl.SSLError as error:
        raise HttpFailure(f'Get "{url}": {_tls_error(error)}') from error
    except TimeoutError:
        raise
    except OSError as error:
        raise HttpFailure(f'Get "{url}": {dial.failure(error, url.host, url.port)}') from error
    parser = _Parser()
    try:
        writer.write(request)
        while not parser.done:
            data = await reader.read(65536)
            if not data:
                parser.ended()
                break
            parser.feed(data)
        return parser.answer
    except (HttpParserError, ssl.SSLError, EOFError, ConnectionError) as error:
        if parser.begun:
            raise Trouble(str(error), "failure") from error
        raise HttpFailure(f'Get "{url}": {_broken(error, url)}') from error
    finally:
        writer.transport.abort()


def _request(url: Url, headers: Headers) -> bytes:
    host = next((value for name, value in headers if name.lower() == "host"), url.at)
    lines = [f"GET {url.path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    for name, value in without(headers, "host"):
        if any(ord(character) < 32 and character != "\t" for character in value):
            raise HttpFailure(f'Get "{url}": net/http: invalid header field value for "{name}"')
        lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "", "")).encode()


class _Parser:
    """Of one answer; what comes before it (100 Continue and the like) is passed over."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.begun = self.done = False
        """Its head is there; and all of it, or as much of it as is kept."""
        self._framed = False
        self._body = bytearray()
        self._parser = HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self.done = self.done or len(self._body) >= _BODY_BYTES
        self.answer.body = self._body[:_BODY_BYTES].decode(errors="replace") if self.done else ""

    def ended(self) -> None:
        """The connection is at its end. EOFError when the answer was not."""
        if not self.begun or self._framed:
            raise EOFError("unexpected EOF" if self.begun else "EOF")
        self.answer.body = self._body.decode(errors="replace")

    def on_header(self, name: bytes, value: bytes) -> None:
        field = name.lower()
        self._framed |= field in (b"content-length", b"transfer-encoding")
        if field == b"location":
            self.answer.location = value.decode(errors="replace")

    def on_headers_complete(self) -> None:
        self.answer.status = self._parser.get_status_code()
        self.begun = self.answer.status >= 200

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.done = self.begun


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _tls_error(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
        return PLAIN_ANSWER
    return f"tls: {reason.lower().replace('_', ' ')}"


def _broken(error: Exception, url: Url) -> str:
    match error:
        case HttpParserError():
            return f"net/http: HTTP/1.x transport connection broken: malformed HTTP response: {error}"
        case ssl.SSLError():
            return _tls_error(error)
        case ConnectionError():
            return f"read tcp {url.at}: read: {dial.errno(error)}"
    return str(error)
