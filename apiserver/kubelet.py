"""The way from the apiserver to a node's kubelet: HTTPS with our client certificate."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import orjson

from api.errors import ApiError, InternalError, from_status
from api.meta import Obj
from apiserver.response import Stream

log = logging.getLogger("apiserver.kubelet")

Query = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class KubeletAddress:
    host: str
    port: int

    def url(self, scheme: str, path: str, query: Query) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        suffix = f"?{urlencode(query)}" if query else ""
        return f"{scheme}://{host}:{self.port}{quote(path)}{suffix}"


def address_of(node: Obj) -> KubeletAddress:
    """By the node's own word: its InternalIP (else its Hostname) and the port of its daemon endpoint."""
    status = node.get("status") or {}
    addresses = {a["type"]: a["address"] for a in reversed(status.get("addresses") or [])}
    host = addresses.get("InternalIP") or addresses.get("ExternalIP") or addresses.get("Hostname")
    if not host:
        raise InternalError(f"node {node['metadata']['name']} has told no address of its kubelet yet")
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    return KubeletAddress(host, int(port))


class KubeletClient:
    def __init__(self, *, cert_file: str, key_file: str, ca_file: str) -> None:
        self.tls = ssl.create_default_context(cafile=ca_file or None)
        if not ca_file:  # as upstream: without a CA the kubelet's certificate is not checked
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE
        if cert_file:
            self.tls.load_cert_chain(cert_file, key_file or None)
        self._session: aiohttp.ClientSession | None = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
            connector = aiohttp.TCPConnector(ssl=self.tls, limit=0)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        return self._session

    async def stream(self, node: Obj, path: str, query: Query) -> Stream:
        """GET `path` from the node's kubelet, answered as it comes. The kubelet's own errors are raised."""
        url = address_of(node).url("https", path, query)
        try:
            response = await self._http().get(url)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(url, error) from error
        if response.status >= 400:
            body = await response.read()
            response.close()
            raise from_kubelet(response.status, body)
        content_type = response.headers.get("content-type", "text/plain").encode("latin-1")
        return Stream(_pieces(response), content_type)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except aiohttp.ClientError as error:
        log.info("a stream from a kubelet broke off: %s", error)
    finally:
        response.close()


def unreachable(url: str, error: BaseException) -> InternalError:
    """Upstream's words for a kubelet that does not answer."""
    plain = url.partition("?")[0]
    return InternalError(f'Get "{plain}": dial kubelet: {error}' if str(error) else f'Get "{plain}": {error!r}')


def from_kubelet(code: int, body: bytes) -> ApiError:
    """The kubelet's refusal, as a Status or as plain text."""
    try:
        status: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body.decode("utf-8", "replace").strip() or f"the kubelet answered {code}"}
    return from_status(status, code)
