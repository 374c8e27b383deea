"""pods/proxy, services/proxy and nodes/proxy, against servers of the test's own.

Source: https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/ and
apimachinery/pkg/util/proxy (transport.go, upgradeaware.go).
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from api.builtin import ENDPOINT_SLICES, NODES, PODS, SERVICES
from client.http import ApiClient
from tests.harness.apiserver import ApiServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _own_address() -> str:
    """An address of this machine that a pod could have: loopback is not allowed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def http(apiserver: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    config = apiserver.bearer("steward-token")
    tls = ssl.create_default_context(cadata=(config.ca_data or b"").decode())
    async with aiohttp.ClientSession(
        apiserver.url,
        connector=aiohttp.TCPConnector(ssl=tls),
        headers={"Authorization": f"Bearer {config.token}"},
        auto_decompress=False,
    ) as session:
        yield session


async def _pod(ours: ApiClient, namespace: str, port: int) -> str:
    """A pod whose address is this machine's. Returns its proxy path."""
    spec = {"nodeName": "none", "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": port}]}]}
    await ours.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, namespace=namespace)
    status = {"status": {"phase": "Running", "podIP": _own_address(), "podIPs": [{"ip": _own_address()}]}}
    await ours.patch(PODS, "web", status, namespace=namespace, subresource="status")
    return f"/api/v1/namespaces/{namespace}/pods/web"


async def test_a_pod_is_asked_as_the_client_asks(ours: ApiClient, http: aiohttp.ClientSession, namespace: str) -> None:
    """Method, path with its escapes, query, headers and body go through; credentials and hop-by-hop headers do not."""

    async def echo(request: web.Request) -> web.Response:
        told = {"method": request.method, "path": request.raw_path, "body": (await request.read()).decode()}
        return web.json_response({**told, "headers": {k.lower(): v for k, v in request.headers.items()}}, status=207)

    async with serving(echo) as port:
        path = await _pod(ours, namespace, port)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            sent = None if method in ("GET", "OPTIONS") else "héllo"
            url = f"{path}/proxy/a%2Fb//c?q=1%202"
            async with http.request(method, URL(url, encoded=True), headers={"X-Mine": "1"}, data=sent) as got:
                assert got.status == 207
                told = await got.json()
            assert told["method"] == method
            assert told["path"] == "/a%2Fb//c?q=1%202"
            assert told["body"] == (sent or "")
            assert told["headers"]["x-mine"] == "1"
            assert told["headers"]["x-forwarded-for"] == "127.0.0.1"
            assert told["headers"]["x-forwarded-uri"] == f"{path}/proxy/a%2Fb//c"
            assert not {"authorization", "impersonate-user", "expect"} & set(told["headers"])
        async with http.head(f"{path}:{port}/proxy/x") as got:
            assert got.status == 207
            assert int(got.headers["content-length"]) > 0
        async with http.get(f"{path}/proxy?a=b", allow_redirects=False) as got:
            assert (got.status, got.headers["location"]) == (301, f"{path}/proxy/?a=b")


async def test_links_lead_back_through_the_proxy(ours: ApiClient, http: aiohttp.ClientSession, namespace: str) -> None:
    async def site(request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/there/?x=1")
        if request.path == "/elsewhere":
            raise web.HTTPFound("https://example.org/there")
        text = '<!DOCTYPE html><a HREF="/x?a=1&amp;b=2">é &lt; x</a><a href="y">y</a><img src=\'/i.png\'><p title="/p">'
        packed = gzip.compress(text.encode())
        return web.Response(body=packed, headers={"Content-Type": "text/html", "Content-Encoding": "gzip"})

    async with serving(site) as port:
        path = f"{await _pod(ours, namespace, port)}/proxy"
        async with http.get(f"{path}/moved", allow_redirects=False) as got:
            assert got.headers["location"] == f"{path}/there/?x=1"
        async with http.get(f"{path}/elsewhere", allow_redirects=False) as got:
            assert got.headers["location"] == "https://example.org/there"
        async with http.get(f"{path}/page") as got:
            assert (await got.read()).decode() == (
                f'<!DOCTYPE html><a HREF="{path}/x?a=1&amp;b=2">é &lt; x</a><a href="y">y</a>'
                f"<img src='{path}/i.png'><p title=\"/p\">"
            )


async def test_bodies_stream_both_ways(ours: ApiClient, http: aiohttp.ClientSession, namespace: str) -> None:
    """What was sent so far arrives before more is sent, in both directions; a broken answer does not look whole."""
    first, more = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            size = 0
            async for piece in request.content.iter_any():
                size += len(piece)
                first.set()
            return web.Response(text=str(size))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await more.wait()
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(b"two")
        return response

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await first.wait()
        for _ in range(40):
            yield b"y" * 100_000

    async with serving(slow) as port, asyncio.timeout(20):
        path = f"{await _pod(ours, namespace, port)}/proxy"
        async with http.post(f"{path}/up", data=body()) as got:
            assert await got.text() == "4100000"
        async with http.get(f"{path}/down") as got:
            assert await got.content.readany() == b"one"
            more.set()
            assert await got.content.read() == b"two"
        async with http.get(f"{path}/broken") as got:
            with pytest.raises(aiohttp.ClientPayloadError):
                await got.read()


async def test_upgrades_pass_through(ours: ApiClient, http: aiohttp.ClientSession, namespace: str) -> None:
    """A WebSocket to a pod, through the proxy; either side's end ends the other's."""
    gone = asyncio.Event()

    async def chat(request: web.Request) -> web.StreamResponse:
        if request.path != "/chat":
            return web.Response(status=403, text="not here")
        socket = web.WebSocketResponse(protocols=["b"])
        await socket.prepare(request)
        async for message in socket:
            if message.data == "bye":
                break
            await socket.send_str(message.data * 2)
        gone.set()
        await socket.close()
        return socket

    async with serving(chat) as port, asyncio.timeout(20):
        path = f"{await _pod(ours, namespace, port)}/proxy"
        async with http.ws_connect(f"{path}/chat", protocols=["a", "b"]) as socket:
            assert socket.protocol == "b"
            await socket.send_str("x" * 300_000)
            assert await socket.receive_str() == "x" * 600_000
            await socket.send_str("bye")
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        gone.clear()
        socket = await http.ws_connect(f"{path}/chat")
        socket._response.connection.transport.abort()  # type: ignore[union-attr]  # the client dies
        await gone.wait()
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{path}/elsewhere")
        assert refused.value.status == 403


async def test_a_service_is_reached_through_a_ready_endpoint(
    ours: ApiClient, http: aiohttp.ClientSession, namespace: str, apiserver: ApiServer
) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello from {request.path}")

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(apiserver.pki.file("apiserver.crt"), apiserver.pki.file("apiserver.key"))
    path = f"/api/v1/namespaces/{namespace}/services"
    async with serving(hello) as plain, serving(hello, tls) as secure:
        ports = [{"name": "http", "port": 80}, {"name": "https", "port": 443}]
        await ours.create(SERVICES, {"metadata": {"name": "web"}, "spec": {"ports": ports}}, namespace=namespace)
        async with http.get(f"{path}/web:http/proxy/") as got:
            assert got.status == 503
            assert (await got.json())["message"] == 'no endpoints available for service "web:http"'
        slice_ = {
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": plain}, {"name": "https", "port": secure}],
            "endpoints": [
                {"addresses": [_own_address()], "conditions": {"ready": True}},
                {"addresses": ["192.0.2.9"], "conditions": {"ready": False}},
            ],
        }
        await ours.create(ENDPOINT_SLICES, slice_, namespace=namespace)
        for name in ("web:http", "web:80", "https:web:443", "https:web:https"):
            async with http.get(f"{path}/{name}/proxy/deep/er") as got:
                assert await got.text() == "hello from /deep/er", name
        async with http.get(f"{path}/web:81/proxy/") as got:
            assert (await got.json())["message"] == 'no service port 81 found for service "web"'
        async with http.get(f"{path}/ftp:web:80/proxy/") as got:
            assert (got.status, (await got.json())["message"]) == (400, 'invalid service request "ftp:web:80"')
    async with http.get(f"{path}/web:http/proxy/") as got:
        assert got.status == 503
        assert (await got.json())["message"].startswith("error trying to reach service: ")


async def test_a_node_is_its_kubelet(ours: ApiClient, http: aiohttp.ClientSession, apiserver: ApiServer) -> None:
    """nodes/proxy asks with the apiserver's own certificate; whoever may not use it is told so."""

    async def kubelet(request: web.Request) -> web.Response:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert")
        return web.json_response([request.path, dict(part for rdn in certificate["subject"] for part in rdn)])

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(apiserver.pki.file("apiserver.crt"), apiserver.pki.file("apiserver.key"))
    tls.load_verify_locations(apiserver.pki.file("ca.crt"))
    tls.verify_mode = ssl.CERT_REQUIRED
    async with serving(kubelet, tls) as port:
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        await ours.create(NODES, {"metadata": {"name": "proxied"}, "status": status})
        for name in ("proxied", f"proxied:{port}"):
            async with http.get(f"/api/v1/nodes/{name}/proxy/healthz") as got:
                path, subject = await got.json(content_type=None)
                assert (path, subject["commonName"]) == ("/healthz", "kube-apiserver-kubelet-client")
        visitor = {"Authorization": "Bearer visitor-token"}
        async with http.get("/api/v1/nodes/proxied/proxy/healthz", headers=visitor) as got:
            assert got.status == 403
        await ours.delete(NODES, "proxied")
