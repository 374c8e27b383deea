"""Calls to webhooks: HTTPS to a URL or to a Service, trusted by the certificate that the configuration carries.

Connections are kept open from one call to the next. Failures are told in the words of client-go, which people search
for.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import ssl
import tempfile
from typing import Any, NamedTuple

import orjson

from api.errors import ApiError
from api.meta import Obj
from apiserver.services import endpoint_of
from apiserver.storage.store import Store
from apiserver.streaming.later import aiohttp, yarl
from apiserver.streaming.proxy import Proxy, dial_failure

_TIMEOUT = 30.0
_LONGEST = 2048  # of a refusal's text
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # of X509_V_ERR_…
_NOT_IN_TIME = (9, 10)
# k8s.io/apimachinery/pkg/api/errors NewGenericServerResponse
_REFUSALS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


class WebhookFailed(Exception):
    """The text says why, as a client should read it. `code` is the HTTP code that stands for it in metrics, `logged`
    what may stand in a log: a webhook's own words may repeat what it was sent."""

    def __init__(self, text: str, code: int = 400, logged: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.logged = logged or text


class Identity(NamedTuple):
    """By what a webhook is shown who calls it."""

    authorization: str  # the header, or ""
    certificate: bytes | None  # and its key, in PEM


ANONYMOUS = Identity("", None)


class _Target(NamedTuple):
    url: str  # as messages show it
    address: str  # the URL that is called
    server_name: str  # the name its certificate must bear when that is not the URL's


class Webhooks:
    def __init__(self, store: Store, proxy: Proxy) -> None:
        self._store = store
        self._proxy = proxy
        self._contexts: dict[tuple[str, bytes | None], ssl.SSLContext] = {}

    async def post(
        self,
        config: Obj,
        body: Obj,
        *,
        timeout: float = _TIMEOUT,  # noqa: ASYNC109
        identity: Identity = ANONYMOUS,
    ) -> Any:
        """The JSON that a webhook (a `clientConfig`) answers. WebhookFailed."""
        query = f"?timeout={math.ceil(timeout)}s"
        said = f'Post "{_shown(config)}{query}"'
        tls = self._tls(config.get("caBundle") or "", identity.certificate)
        try:
            async with asyncio.timeout(timeout):
                target = await self._target(config)
                status, text, plain = await self._send(target, query, orjson.dumps(body), tls, identity)
        except TimeoutError as error:
            raise WebhookFailed(f"{said}: context deadline exceeded") from error
        except ApiError as error:
            raise WebhookFailed(f"{said}: {error.message}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise WebhookFailed(f"{said}: {_why(error, config.get('url') or '')}") from error
        if not 200 <= status <= 206:
            raise WebhookFailed(_refusal(status, text, plain), status, f"status {status}")
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise WebhookFailed(f"couldn't get version/kind; json parse error: {error}") from error

    async def _send(
        self, target: _Target, query: str, body: bytes, tls: ssl.SSLContext, identity: Identity
    ) -> tuple[int, bytes, bool]:
        """(status, body, whether that is plain text). A connection that the webhook has closed meanwhile is no
        failure: the request goes over a new one."""
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "kube-apiserver"}
        if target.server_name:
            headers["Host"] = yarl.URL(target.url).authority
        if identity.authorization:
            headers["Authorization"] = identity.authorization
        for last in (False, True):
            try:
                async with self._proxy.http().post(
                    yarl.URL(target.address + query, encoded=True),
                    data=body,
                    headers=headers,
                    ssl=tls,
                    server_hostname=target.server_name or None,
                    allow_redirects=False,
                ) as response:
                    return response.status, await response.read(), response.content_type == "text/plain"
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as error:
                if last or isinstance(error, aiohttp.ClientConnectorError):
                    raise
        raise AssertionError("the last try returns or raises")

    async def _target(self, config: Obj) -> _Target:
        """ApiError when there is nobody behind the Service."""
        url, service = _shown(config), config.get("service")
        if service is None:
            return _Target(url, url, "")
        namespace, name, port = service["namespace"], service["name"], int(service.get("port") or 443)
        host, actual = await endpoint_of(self._store, namespace, name, str(port))
        host = f"[{host}]" if ":" in host else host
        return _Target(url, f"https://{host}:{actual}{_path(service)}", f"{name}.{namespace}.svc")

    def _tls(self, bundle: str, certificate: bytes | None) -> ssl.SSLContext:
        key = (bundle, certificate)
        found = self._contexts.get(key)
        if found is None:
            try:
                pem = base64.b64decode(bundle).decode() if bundle else None
                found = ssl.create_default_context(cadata=pem)
            except (ssl.SSLError, ValueError, binascii.Error) as error:
                raise WebhookFailed(f"unable to load root certificates: {error}") from error
            if certificate is not None:
                show(found, certificate)
            self._contexts = {**dict(list(self._contexts.items())[-63:]), key: found}
        return found


def show(tls: ssl.SSLContext, certificate: bytes) -> None:
    """Have `tls` show a certificate, which the ssl module takes from files alone. SSLError."""
    with tempfile.NamedTemporaryFile() as file:  # readable for nobody else
        file.write(certificate)
        file.flush()
        tls.load_cert_chain(file.name)


def _path(service: Obj) -> str:
    return f"/{(service.get('path') or '').lstrip('/')}"


def _shown(config: Obj) -> str:
    service = config.get("service")
    if service is None:
        return str(config["url"])
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}{_path(service)}"


def _why(error: BaseException, url: str) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(cause, ssl.SSLCertVerificationError):
        known = dict.fromkeys(_UNKNOWN_AUTHORITY, "certificate signed by unknown authority")
        known |= dict.fromkeys(_NOT_IN_TIME, "certificate has expired or is not yet valid")
        why = known.get(cause.verify_code) or cause.verify_message
        return f"tls: failed to verify certificate: x509: {why}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    return dial_failure(error, url)


def _refusal(status: int, body: bytes, plain: bool) -> str:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if isinstance(told, dict) and told.get("kind") == "Status" and told.get("message"):
        return str(told["message"])
    text = body[:_LONGEST].decode(errors="replace").strip() if plain else "unknown"
    if status == 403:
        return text
    if status >= 500 and status not in _REFUSALS:
        return f"an error on the server ({json.dumps(text)}) has prevented the request from succeeding"
    unexplained = f"the server responded with the status code {status} but did not return more information"
    return _REFUSALS.get(status, unexplained)
