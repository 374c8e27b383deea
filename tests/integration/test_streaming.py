"""exec and port-forward through the apiserver, as every client asks for them. The kubelet's streaming code is the
real one, what it leads to is the test's.

Sources: KEP-4006 (WebSockets), k8s.io/kubelet/pkg/cri/streaming (the channels and streams), kubectl and the Python
client as they are.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import kubernetes
import pytest
from kubernetes.client import CoreV1Api
from kubernetes.stream import portforward, stream

from api.builtin import NODES
from client.http import ApiClient
from client.spdy import Data, Framing, Replied
from kubelet.server.streaming.port_forward import BUFFER
from tests.harness.apiserver import ApiServer
from tests.harness.eventually import eventually
from tests.harness.upstream import Kubectl
from tests.integration.fake_kubelet import FakeKubelet, place


@pytest.fixture
async def kubelet(apiserver: ApiServer, ours: ApiClient, namespace: str) -> AsyncIterator[FakeKubelet]:
    made = FakeKubelet(apiserver)
    async with made.running():
        await place(ours, made, namespace)
        yield made
        await ours.delete(NODES, namespace)


def _tls(apiserver: ApiServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=apiserver.pki.file("ca.crt"))


@pytest.fixture
async def http(apiserver: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        apiserver.url,
        connector=aiohttp.TCPConnector(ssl=_tls(apiserver)),
        headers={"Authorization": "Bearer steward-token"},
    ) as session:
        yield session


def _path(namespace: str, what: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/web/{what}"


# ---- exec


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_kubectl_runs_a_command(kubelet: FakeKubelet, kubectl: Kubectl, websockets: str) -> None:
    """Upstream kubectl over WebSocket and, as older ones, over SPDY: both outputs, stdin to its end, exit codes."""

    async def run(*words: str, stdin: str | None = None) -> tuple[int, str, str]:
        flags = ["-i"] if stdin is not None else []
        process = await asyncio.create_subprocess_exec(
            str(kubectl.program), "--kubeconfig", str(kubectl.kubeconfig), "-n", kubectl.namespace,
            "exec", *flags, "web", "--", *words,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": str(kubectl.kubeconfig.parent), "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets},
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate((stdin or "").encode()), 20)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    assert await run("both") == (0, "to stdout\n", "to stderr\n")
    assert await run("exit", "7") == (7, "", "command terminated with exit code 7\n")
    long = "0123456789" * 50_000
    assert await run("cat", stdin=long) == (0, long, "")


async def test_the_python_client_runs_a_command(kubelet: FakeKubelet, core: CoreV1Api, namespace: str) -> None:
    def run(*words: str) -> Any:
        return stream(
            core.connect_get_namespaced_pod_exec, "web", namespace, command=list(words),
            stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
        )  # fmt: skip

    def story() -> None:
        talk = run("cat")
        talk.write_stdin("hello\n")
        assert talk.readline_stdout(timeout=5) == "hello"
        talk.close()
        ended = run("exit", "5")
        ended.run_forever(timeout=5)
        assert ended.returncode == 5

    await asyncio.to_thread(story)
    await asyncio.wait_for(kubelet.hung_up.wait(), 5)


@pytest.mark.parametrize(
    ("subprotocol", "outcome"),
    [
        ("v5.channel.k8s.io", '"reason": "NonZeroExitCode"'),
        ("v4.channel.k8s.io", '"reason": "NonZeroExitCode"'),
        ("v4.base64.channel.k8s.io", '"reason": "NonZeroExitCode"'),
        ("channel.k8s.io", "command terminated with non-zero exit code: exit status 3"),
        ("base64.channel.k8s.io", "command terminated with non-zero exit code: exit status 3"),
        ("", "command terminated with non-zero exit code: exit status 3"),
    ],
)
async def test_every_channel_dialect(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str, subprotocol: str, outcome: str
) -> None:
    path = _path(namespace, "exec?command=exit&command=3")
    async with http.ws_connect(path, protocols=[subprotocol] if subprotocol else []) as socket:
        assert socket.protocol == (subprotocol or None)
        told = []
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                told.append((int(message.data[0]), base64.b64decode(message.data[1:])))
            else:
                told.append((message.data[0], message.data[1:]))
    assert told[0] == (1, b"")  # the connection stands
    assert told[-1][0] == 3
    assert outcome in told[-1][1].decode()


async def test_a_terminals_size_and_the_end_of_stdin(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str
) -> None:
    """Channel 4 carries sizes, however they are cut; channel 255 closes stdin in v5."""
    path = _path(namespace, "exec?command=sizes&tty=true&stdin=true")
    async with http.ws_connect(path, protocols=["v5.channel.k8s.io"]) as socket:
        await socket.send_bytes(b'\x04{"Width":80,"Hei')
        await socket.send_bytes(b'\x04ght":24}\n')
        assert [(await socket.receive_bytes()) for _ in range(2)] == [b"\x01", b"\x0180x24\n"]
        await socket.send_bytes(b'\x04{"Width":1,"Height":2}{"Width":100,"Height":30}')
        assert await socket.receive_bytes() == b"\x01100x30\n"
    async with http.ws_connect(
        _path(namespace, "exec?command=cat&stdin=true"), protocols=["v5.channel.k8s.io"]
    ) as socket:
        await socket.send_bytes(b"\x00abc")
        await socket.send_bytes(b"\xff\x00")
        messages = [message.data async for message in socket]
    assert b"".join(m[1:] for m in messages if m[0] == 1) == b"abc"
    assert json.loads(messages[-1][1:])["status"] == "Success"


async def test_refusals_in_the_words_of_each_protocol(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str
) -> None:
    """v5 clients hear of it on the error channel, others in the answer to the upgrade (translator of KEP-4006)."""
    async with http.ws_connect(_path(namespace, "exec"), protocols=["v5.channel.k8s.io"]) as socket:
        status = json.loads((await socket.receive_bytes())[1:])
    assert (status["reason"], status["message"]) == (
        "InternalError",
        "Internal error occurred: unable to upgrade connection: you must specify at least 1 command for the container",
    )
    async with http.get(_path(namespace, "exec?command=a")) as got:
        assert (got.status, (await got.json())["message"]) == (400, "Upgrade request required")
    for query, text in (("exec?command=a&container=x", "container x is not valid for pod web"),):
        async with http.post(_path(namespace, query)) as got:
            assert (got.status, (await got.json())["message"]) == (400, text)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(_path(namespace, "exec?command=cat"), protocols=["v9.channel.k8s.io"])
    assert refused.value.status in (400, 500)


async def test_a_node_that_does_not_answer(
    kubelet: FakeKubelet, ours: ApiClient, kubectl: Kubectl, namespace: str
) -> None:
    """In the words people search for."""
    away = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 9}}}}
    await ours.patch(NODES, namespace, away, subresource="status")
    said = (await asyncio.to_thread(kubectl.run, "exec", "web", "--", "ls")).failed().stderr
    assert "error dialing backend: dial tcp 127.0.0.1:9: connect: connection refused" in said, said
    said = (await asyncio.to_thread(kubectl.run, "logs", "web")).failed().stderr
    assert said.startswith('Error from server: Get "https://127.0.0.1:9/containerLogs/'), said
    assert said.endswith("dial tcp 127.0.0.1:9: connect: connection refused\n"), said


async def test_a_slow_client_slows_the_command(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str
) -> None:
    """Nobody reads: what the command wrote is what sockets and bounded buffers hold, and it stays that."""
    socket = await http.ws_connect(_path(namespace, "exec?command=flood"), protocols=["v4.channel.k8s.io"])
    before = -1
    while before != kubelet.written:
        before = kubelet.written
        await asyncio.sleep(0.3)
    assert 0 < kubelet.written < 128 << 20
    socket._response.connection.transport.abort()  # type: ignore[union-attr]  # and then it dies
    await asyncio.wait_for(kubelet.hung_up.wait(), 10)


# ---- logs


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ("tailLines=-1", 422, 'PodLogOptions "web" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0'),
        ("limitBytes=0", 422, 'PodLogOptions "web" is invalid: limitBytes: Invalid value: 0: must be greater than 0'),
        ("sinceSeconds=0", 422, 'PodLogOptions "web" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0'),
        ("sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z", 422,
         'PodLogOptions "web" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified'),
        ("stream=stdout", 422,
         'PodLogOptions "web" is invalid: stream: Unsupported value: "stdout": supported values: "All", "Stderr", "Stdout"'),
        ("stream=Stdout&tailLines=1", 422,
         'PodLogOptions "web" is invalid: []: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now'),
        ("container=x", 400, "container x is not valid for pod web"),
        ("previous=true", 400, 'previous terminated container "c" in pod "web" not found'),
    ],
)  # fmt: skip
async def test_refused_log_options(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str, query: str, code: int, text: str
) -> None:
    """core/validation ValidatePodLogOptions, and the kubelet's own refusals as a Status."""
    async with http.get(_path(namespace, f"log?{query}")) as got:
        assert (got.status, (await got.json())["message"]) == (code, text)


async def test_logs_are_passed_as_they_come(kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str) -> None:
    options = "timestamps=true&sinceSeconds=5&tailLines=3&limitBytes=1000"
    async with http.get(_path(namespace, f"log?{options}")) as got:
        assert got.content_type == "text/plain"
        asked = (await got.text()).strip().partition("?")
    assert asked[0] == f"/containerLogs/{namespace}/web/c"
    assert set(asked[2].split("&")) == set(options.split("&"))
    async with http.get(_path(namespace, "log?follow=true")) as got:
        assert (await got.content.readline()).endswith(b"?follow=true\n")
        assert await got.content.readline() == b"more\n"
    await asyncio.wait_for(kubelet.hung_up.wait(), 5)


@pytest.mark.parametrize("protocol", ["", "binary.k8s.io", "base64.binary.k8s.io"])
async def test_logs_over_websocket(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str, protocol: str
) -> None:
    """As browsers read them (apiserver/pkg/util/wsstream stream.go): an empty frame first, then pieces."""
    async with http.ws_connect(_path(namespace, "log?tailLines=3"), protocols=[protocol] if protocol else []) as socket:
        assert socket.protocol == (protocol or None)
        frames = [message.data async for message in socket]
    assert not frames[0]
    told = b"".join(base64.b64decode(f) if protocol.startswith("base64") else f for f in frames)
    assert told.endswith(b"?tailLines=3\n")


# ---- port-forward


@pytest.fixture
async def echo(kubelet: FakeKubelet) -> AsyncIterator[FakeKubelet]:
    """A listener that says back what it hears, and `bye` at the end of it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    kubelet.listener = server.sockets[0].getsockname()[1]
    async with server:
        yield kubelet


@pytest.mark.parametrize("websockets", ["true", "false"])
async def test_kubectl_forwards_ports(echo: FakeKubelet, kubectl: Kubectl, websockets: str) -> None:
    """Over SPDY in a WebSocket and over plain SPDY: connections side by side, much data, half-closed ones."""
    process = await asyncio.create_subprocess_exec(
        str(kubectl.program), "--kubeconfig", str(kubectl.kubeconfig), "-n", kubectl.namespace,
        "port-forward", "web", ":80", ":81", stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(kubectl.kubeconfig.parent), "KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        local = []
        while len(local) < 2:
            line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
            if line.startswith("Forwarding from 127.0.0.1:"):
                local.append(int(line.split(":")[1].split()[0]))
        sent = os.urandom(1 << 20)

        async def once(port: int) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            writer.write_eof()
            got = await reader.read()
            writer.close()
            return got

        got = await asyncio.wait_for(asyncio.gather(*(once(port) for port in local * 3)), 20)
        assert all(each == sent + b"bye" for each in got)
        assert sorted(echo.dialled) == [80] * 3 + [81] * 3
    finally:
        process.terminate()
        await process.wait()


async def test_the_python_client_forwards_ports(echo: FakeKubelet, core: CoreV1Api, namespace: str) -> None:
    def story() -> None:
        forwarded = portforward(core.connect_get_namespaced_pod_portforward, "web", namespace, ports="80,1")
        socket = forwarded.socket(80)
        socket.settimeout(10)
        socket.sendall(b"hello")
        assert socket.recv(100) == b"hello"
        assert "error forwarding port 1 to pod web_ns, uid u: nobody listens" in str(forwarded.error(1))
        forwarded.close()

    await asyncio.to_thread(story)
    assert sorted(echo.dialled) == [1, 80]


async def test_channels_begin_with_their_port(echo: FakeKubelet, http: aiohttp.ClientSession, namespace: str) -> None:
    async with http.ws_connect(_path(namespace, "portforward?ports=8080"), protocols=["v4.channel.k8s.io"]) as socket:
        assert [await socket.receive_bytes() for _ in range(2)] == [b"\x00\x90\x1f", b"\x01\x90\x1f"]
        await socket.send_bytes(b"\x00hi")
        assert await socket.receive_bytes() == b"\x00hi"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(_path(namespace, "portforward?ports=0"), protocols=["v4.channel.k8s.io"])
    assert refused.value.status in (400, 500)


async def test_a_pod_that_does_not_read_slows_the_client(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str
) -> None:
    """One stuck connection holds BUFFER bytes and what sockets hold; then the client is no longer read."""
    stuck: list[asyncio.StreamWriter] = []

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        stuck.append(writer)

    server = await asyncio.start_server(never_read, "127.0.0.1", 0, limit=1024)
    kubelet.listener = server.sockets[0].getsockname()[1]
    framing, sent = Framing(client=True), 0
    async with (
        server,
        http.ws_connect(_path(namespace, "portforward"), protocols=["SPDY/3.1+portforward.k8s.io"]) as socket,
    ):
        for kind in ("error", "data"):
            _, opening = framing.open({"streamtype": kind, "port": "80", "requestid": "0"})
            await socket.send_bytes(opening)
            assert list(framing.feed(await socket.receive_bytes())) == [Replied(1 if kind == "error" else 3, False)]
        try:
            while sent < 256 << 20:
                await asyncio.wait_for(socket.send_bytes(framing.data(3, b"x" * 65536)), 1)
                sent += 65536
        except TimeoutError:
            pass
        assert BUFFER < sent < 128 << 20
        for writer in stuck:
            writer.transport.abort()
        await eventually(lambda: len(stuck) == 1, "one connection was dialled")


async def test_what_the_pod_cannot_take_is_told_on_the_error_stream(
    kubelet: FakeKubelet, http: aiohttp.ClientSession, namespace: str
) -> None:
    framing = Framing(client=True)
    async with http.ws_connect(_path(namespace, "portforward"), protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        for kind in ("error", "data"):
            await socket.send_bytes(framing.open({"streamtype": kind, "port": "1", "requestid": "9"})[1])
        events: list[Any] = []
        while sum(isinstance(e, Data) and e.fin for e in events) < 2:
            events += framing.feed(await asyncio.wait_for(socket.receive_bytes(), 5))
    told = b"".join(e.data for e in events if isinstance(e, Data) and e.stream == 1)
    assert told == b"error forwarding port 1 to pod web_ns, uid u: nobody listens"


async def test_a_browser_brings_its_token_as_a_protocol(
    kubelet: FakeKubelet, apiserver: ApiServer, namespace: str
) -> None:
    """apiserver/pkg/authentication/request/websocket: it is for the apiserver alone, and no answer names it."""
    token = base64.urlsafe_b64encode(b"steward-token").decode().rstrip("=")
    url = apiserver.url + _path(namespace, "exec?command=both")
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=_tls(apiserver))) as browser:
        bearer = f"base64url.bearer.authorization.k8s.io.{token}"
        async with browser.ws_connect(url, protocols=[bearer, "v4.channel.k8s.io"]) as socket:
            assert socket.protocol == "v4.channel.k8s.io"
            assert await socket.receive_bytes() == b"\x01"
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await browser.ws_connect(url, protocols=[bearer.replace(token, "d3Jvbmc"), "v4.channel.k8s.io"])
        assert refused.value.status == 401


async def test_a_websocket_needs_the_right_to_create(
    kubelet: FakeKubelet, apiserver: ApiServer, namespace: str
) -> None:
    """v1.35: AuthorizePodWebsocketUpgradeCreatePermission. Nobody without a grant comes in at all."""
    client = kubernetes.config.new_client_from_config(str(apiserver.kubeconfig(apiserver.bearer("visitor-token"), "v")))
    try:
        with pytest.raises(kubernetes.client.ApiException) as refused:
            await asyncio.to_thread(
                stream, CoreV1Api(client).connect_get_namespaced_pod_exec, "web", namespace, command=["cat"]
            )
        assert "403" in str(refused.value)
    finally:
        client.close()
