"""The way from the apiserver to a node's kubelet: HTTPS with our client certificate."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from api.errors import ApiError, InternalError, Unexplained, from_status
from api.meta import Obj
from apiserver.response import Stream
from apiserver.streaming.later import aiohttp
from apiserver.streaming.proxy import Proxy, dial_failure

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
    """Our identity towards kubelets. `insecure` is for who asked not to have the kubelet's certificate checked."""

    def __init__(self, proxy: Proxy, *, cert_file: str, key_file: str, ca_file: str) -> None:
        self._proxy = proxy
        self.tls = _context(cert_file, key_file, ca_file)
        self.insecure = _context(cert_file, key_file, "")

    async def stream(self, node: Obj, path: str, query: Query, *, insecure: bool = False) -> Stream:
        """GET `path` from the node's kubelet, answered as it comes. The kubelet's own errors are raised."""
        url = address_of(node).url("https", path, query)
        try:
            response = await self._proxy.http().get(url, ssl=self.insecure if insecure else self.tls)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(url, error) from error
        if response.status >= 400:
            body = await response.read()
            response.close()
            raise from_kubelet(response.status, body)
        content_type = response.headers.get("content-type", "text/plain").encode("latin-1")
        return Stream(_pieces(response), content_type)


def _context(cert_file: str, key_file: str, ca_file: str) -> ssl.SSLContext:
    """As upstream: without a CA the kubelet's certificate is not checked."""
    if ca_file:
        tls = ssl.create_default_context(cafile=ca_file)
    else:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not the default one: that reads all the system's certificates
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if cert_file:
        tls.load_cert_chain(cert_file, key_file or None)
    return tls


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except aiohttp.ClientError as error:
        log.info("a stream from a kubelet broke off: %s", error)
    finally:
        response.close()


def unreachable(url: str, error: BaseException) -> ApiError:
    """Upstream's words for a kubelet that does not answer."""
    plain = url.partition("?")[0]
    return Unexplained(f'Get "{plain}": {dial_failure(error, url)}')


def from_kubelet(code: int, body: bytes) -> ApiError:
    """The kubelet's refusal, as a Status or as plain text."""
    try:
        status: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {"message": body.decode("utf-8", "replace").strip() or f"the kubelet answered {code}"}
    return from_status(status, code)
