"""A kubelet without containers: its own streaming code over TLS, with commands that are a few lines here.

What a "command" does is its first word: `cat` (stdin to stdout, its end to an exit), `exit N`, `both` (a word on
each of stdout and stderr), `flood` (writes until nobody takes it), `sizes` (says each terminal size), `wait`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from api.builtin import NODES, PODS
from client.http import ApiClient
from kubelet.docker.streams import Stream
from kubelet.server.streaming import port_forward, remote_command
from kubelet.server.streaming.pipe import Idle
from kubelet.server.streaming.remote_command import Command
from tests.harness.apiserver import ApiServer

_IDLE_SECONDS = 60.0


class FakeKubelet:
    def __init__(self, apiserver: ApiServer) -> None:
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(apiserver.pki.file("apiserver.crt"), apiserver.pki.file("apiserver.key"))
        self.port = 0
        self.dialled: list[int] = []
        self.listener = 0
        """Where every forwarded port leads."""
        self.written = 0
        """What `flood` got rid of."""
        self.hung_up = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/exec/{namespace}/{pod}/{container}", self._exec)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_route("*", "/portForward/{namespace}/{pod}", self._forward)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        """Says what it was asked; with `previous`, that there is none."""
        if request.query.get("previous"):
            return web.Response(status=400, text='previous terminated container "c" in pod "web" not found')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(f"{request.path_qs}\n".encode())
        if request.query.get("follow"):
            try:
                while True:
                    await response.write(b"more\n")
                    await asyncio.sleep(0.05)
            finally:
                self.hung_up.set()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        words, tty = request.query.getall("command", []), request.query.get("tty") == "1"
        code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        here, there = socket.socketpair()
        sizes: asyncio.Queue[str] = asyncio.Queue()

        async def open_stream() -> Stream:
            reader, writer = await asyncio.open_connection(sock=here)
            task = asyncio.create_task(self._play(words, tty, there, code, sizes))
            task.add_done_callback(lambda done: done.exception())
            return Stream(reader, writer)

        async def resize(width: int, height: int) -> None:
            sizes.put_nowait(f"{width}x{height}\n")

        async def hang_up() -> None:
            self.hung_up.set()

        async def find() -> Command:
            remote_command.must_have_command(words)
            return Command(
                open_stream, tty=tty, stdin=request.query.get("input") == "1", resize=resize,
                exit_code=lambda: asyncio.wait_for(code, 5), hang_up=hang_up, doing="executing command in container",
                idle=_IDLE_SECONDS,
            )  # fmt: skip

        return await remote_command.serve(request, find)

    async def _play(
        self, words: list[str], tty: bool, end: socket.socket, code: asyncio.Future[int], sizes: asyncio.Queue[str]
    ) -> None:
        reader, writer = await asyncio.open_connection(sock=end)

        async def say(channel: int, data: bytes) -> None:
            writer.write(data if tty else bytes([channel, 0, 0, 0]) + len(data).to_bytes(4, "big") + data)
            await writer.drain()

        try:
            match words:
                case ["cat"]:
                    while data := await reader.read(65536):
                        await say(1, data)
                case ["both"]:
                    await say(1, b"to stdout\n")
                    await say(2, b"to stderr\n")
                case ["flood"]:
                    while True:
                        await say(1, b"x" * 65536)
                        self.written += 65536
                case ["sizes"]:
                    for _ in range(2):
                        await say(1, (await sizes.get()).encode())
                case ["wait"]:
                    await reader.read()
            code.set_result(int(words[1]) if words[0] == "exit" else 0)
        finally:
            writer.close()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        async def dial(port: int) -> port_forward.Connection:
            self.dialled.append(port)
            if port == 1:
                raise OSError("nobody listens")
            return await asyncio.open_connection("127.0.0.1", self.listener)

        return await port_forward.serve(request, dial, "web_ns, uid u", Idle(_IDLE_SECONDS))


async def place(ours: ApiClient, kubelet: FakeKubelet, namespace: str) -> None:
    """A node that is this kubelet, named after the namespace, and a running pod `web` on it."""
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }
    await ours.create(NODES, {"metadata": {"name": namespace}, "status": status})
    spec = {"nodeName": namespace, "containers": [{"name": "c", "image": "i"}]}
    await ours.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, namespace=namespace)
    running = {"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}]}
    await ours.patch(PODS, "web", {"status": running}, namespace=namespace, subresource="status")
