"""Calls to webhooks: HTTPS to a URL or to a Service, trusted by the certificate that the configuration carries."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import Any

import orjson

from api.errors import ApiError
from api.meta import Obj
from apiserver.services import endpoint_of
from apiserver.storage.store import Store
from apiserver.streaming.later import aiohttp

_TIMEOUT = 30.0


class WebhookFailed(Exception):
    """The text says why, as a client should read it."""


class Webhooks:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def post(self, config: Obj, body: Obj, *, timeout: float = _TIMEOUT) -> Any:  # noqa: ASYNC109
        """The JSON that a webhook (a `clientConfig`) answers. WebhookFailed."""
        url, server_name = await self._target(config)
        tls = self._tls(config.get("caBundle") or "")
        try:
            async with (
                asyncio.timeout(timeout),
                aiohttp.ClientSession() as session,
                session.post(
                    url,
                    data=orjson.dumps(body),
                    headers={"Content-Type": "application/json", "Accept": "application/json"},
                    ssl=tls,
                    server_hostname=server_name or None,
                    allow_redirects=False,
                ) as response,
            ):
                text = await response.read()
        except TimeoutError as error:
            raise WebhookFailed(f'Post "{url}?timeout={int(timeout)}s": context deadline exceeded') from error
        except (aiohttp.ClientError, OSError) as error:
            raise WebhookFailed(f'Post "{url}?timeout={int(timeout)}s": {error}') from error
        if response.status != 200:
            raise WebhookFailed(
                f"the server responded with the status code {response.status} but did not return more information"
            )
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise WebhookFailed(f"the answer is not JSON: {error}") from error

    async def _target(self, config: Obj) -> tuple[str, str]:
        """(the URL to call, the name its certificate must bear when that is not the URL's)."""
        service = config.get("service")
        if service is None:
            return str(config["url"]), ""
        namespace, name, port = service["namespace"], service["name"], int(service.get("port") or 443)
        try:
            host, actual = await endpoint_of(self._store, namespace, name, str(port))
        except ApiError as error:
            raise WebhookFailed(error.message) from error
        host = f"[{host}]" if ":" in host else host
        return f"https://{host}:{actual}/{(service.get('path') or '').lstrip('/')}", f"{name}.{namespace}.svc"

    def _tls(self, bundle: str) -> ssl.SSLContext:
        found = self._contexts.get(bundle)
        if found is None:
            try:
                pem = base64.b64decode(bundle).decode() if bundle else None
                found = ssl.create_default_context(cadata=pem)
            except (ssl.SSLError, ValueError, binascii.Error) as error:
                raise WebhookFailed(f"unable to load root certificates: {error}") from error
            self._contexts = {**dict(list(self._contexts.items())[-63:]), bundle: found}
        return found
