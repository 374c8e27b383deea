"""What is asked of one pod or container: its logs, a command in it, its terminal, its ports.

Paths, parameters and wording: pkg/kubelet/server/server.go (getContainerLogs, getExec, getAttach, getRun,
getPortForward, checkpoint).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from api.errors import BadRequest, InternalError, NotFound
from api.meta import Obj
from client import log
from client.clock import Clock
from kubelet.docker.exit_code import exit_code
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime
from kubelet.logs import reading
from kubelet.pods.model import Container, find_container
from kubelet.pods.pods import Pods
from kubelet.server import container_logs
from kubelet.server.container_logs import flag
from kubelet.server.streaming import netns, port_forward, remote_command
from kubelet.server.streaming.pipe import Idle, hung_up
from kubelet.server.streaming.port_forward import Connection
from kubelet.server.streaming.remote_command import Command

_log = log.get("containers")
_RUN_SECONDS = 120.0
"""How long a command of /run may take: it has no stream whose end could be seen."""
_END_SECONDS = 8.0
"""How long a command whose output has ended may take to end, too."""
_LARGEST_OUTPUT = 16 << 20


class Containers:
    def __init__(self, runtime: DockerRuntime, observer: Observer, pods: Pods, clock: Clock, idle: float) -> None:
        """`idle`: a stream on which nothing was said for so many seconds is closed."""
        self._runtime, self._observer, self._pods, self._clock = runtime, observer, pods, clock
        self._idle = idle

    def routes(self) -> list[web.RouteDef]:
        made = [web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs)]
        of_container = (("exec", self._exec), ("attach", self._attach), ("run", self._run))
        for name, handler in of_container:
            for uid in ("", "/{uid}"):
                path = f"/{name}/{{namespace}}/{{pod}}{uid}/{{container}}"
                made += [web.post(path, handler)] + ([] if name == "run" else [web.get(path, handler)])
        for path in ("/portForward/{namespace}/{pod}", "/portForward/{namespace}/{pod}/{uid}"):
            made += [web.get(path, self._port_forward), web.post(path, self._port_forward)]
        return [*made, web.post("/checkpoint/{namespace}/{pod}/{container}", self._checkpoint)]

    def _pod(self, request: web.Request, missing: str = "pod does not exist") -> Obj:
        asked = request.match_info
        pod = self._pods.find(asked["namespace"], asked["pod"])
        if pod is None:
            raise NotFound(missing)
        if asked.get("uid", pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
            raise NotFound("pod not found")
        return pod

    def _running(self, request: web.Request) -> Container:
        pod, name = self._pod(request), request.match_info["container"]
        container = self._observer.of_pod(pod["metadata"]["uid"]).latest(name)
        if container is None or not container.running:
            raise InternalError(f'container not found ("{name}")')
        return container

    # Logs.

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        asked, query = request.match_info, request.query
        container_logs.check(query)
        pod = self._pod(request, f'pod "{asked["pod"]}" does not exist')
        if find_container(pod, asked["container"]) is None:
            raise NotFound(f'container "{asked["container"]}" not found in pod "{asked["pod"]}"')
        container_id = container_logs.container_id(pod, asked["container"], flag(query, "previous"))
        container = self._observer.get(container_id)
        if container is None or container.pod_uid != pod["metadata"]["uid"]:  # whoever ended a pod told its status
            raise BadRequest(f"unable to retrieve container logs for docker://{container_id}")

        told = reading.read(
            container,
            container_logs.wanted(query, self._clock.now()),
            lambda: self._observer.wait_exited(container_id),
        )
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        copying = asyncio.create_task(_copy(request, response, told))
        gone = asyncio.create_task(hung_up(request))
        try:
            await asyncio.wait({copying, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (copying, gone):
                task.cancel()
            outcome, _ = await asyncio.gather(copying, gone, return_exceptions=True)
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError):
            raise outcome
        return response

    # Commands.

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        tty, stdin = flag(query, "tty"), flag(query, "input")
        command = query.getall("command", [])

        async def find() -> Command:
            container = self._running(request)
            remote_command.must_have_command(command)
            wanted = {"stdout": flag(query, "output"), "stderr": flag(query, "error")}
            exec_id = await self._runtime.exec_create(container.id, command, stdin=stdin, tty=tty, **wanted)

            async def hang_up() -> None:
                await self._runtime.exec_hang_up(exec_id, container.id)

            return Command(
                lambda: self._runtime.exec_start(exec_id, tty=tty),
                tty=tty,
                stdin=stdin,
                resize=lambda width, height: self._runtime.exec_resize(exec_id, width, height),
                exit_code=lambda: self._exit_code(exec_id, container),
                hang_up=hang_up,
                doing="executing command in container",
                idle=self._idle,
            )

        return await remote_command.serve(request, find)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        async def find() -> Command:
            container = self._running(request)
            stdin = flag(request.query, "input") and container.open_stdin
            params = {"stream": "1", "stdin": "1" if stdin else "0", "stdout": "1", "stderr": "1"}

            async def nothing() -> None:
                return None

            return Command(
                lambda: self._runtime.attach(container.id, params),
                tty=container.tty,
                stdin=stdin,
                resize=lambda width, height: self._runtime.resize(container.id, width, height),
                exit_code=nothing,
                hang_up=nothing,
                doing="attaching to container",
                idle=self._idle,
            )

        return await remote_command.serve(request, find)

    async def _run(self, request: web.Request) -> web.StreamResponse:
        """A command without streams: its whole output is the answer."""
        container = self._running(request)
        command = request.query.get("cmd", "").split(" ")
        remote_command.must_have_command([word for word in command if word])
        exec_id = await self._runtime.exec_create(
            container.id, command, stdin=False, stdout=True, stderr=True, tty=False
        )
        stream = await self._runtime.exec_start(exec_id, tty=False)
        output = b""
        try:
            async with asyncio.timeout(_RUN_SECONDS):
                async for _, data in stream.frames():
                    output = (output + data)[:_LARGEST_OUTPUT]
        except TimeoutError as error:
            await self._runtime.exec_hang_up(exec_id, container.id)
            text = f"command {request.query['cmd']!r} timed out after {_RUN_SECONDS:g} s"
            raise InternalError(text) from error
        finally:
            stream.close()
        code = await self._exit_code(exec_id, container)
        if code:
            raise InternalError(
                f"command '{request.query['cmd']}' exited with {code}: {output.decode(errors='replace')}"
            )
        return web.Response(body=output, content_type="application/json")

    async def _exit_code(self, exec_id: str, container: Container) -> int | None:
        """None, which is no failure, of a command that has closed its output and runs on: the dockershim's answer."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await exit_code(self._runtime, self._clock, exec_id)
        except TimeoutError:
            _log.warning("a command has closed its output and runs on", container=container.id, command=exec_id)
            return None

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        meta = self._pod(request)["metadata"]

        async def dial(port: int) -> Connection:
            sandbox = self._observer.of_pod(meta["uid"]).live_sandbox
            if sandbox is None:
                raise OSError("the pod's sandbox is not running")
            return await netns.connect(sandbox.pid, port)

        name = f"{meta['name']}_{meta['namespace']}, uid {meta['uid']}"
        return await port_forward.serve(request, dial, name, Idle(self._idle))

    async def _checkpoint(self, request: web.Request) -> web.StreamResponse:
        pod, name = self._pod(request), request.match_info["container"]
        if find_container(pod, name) is None:
            raise NotFound(f"container {name} does not exist")
        where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}/{name}"
        raise InternalError(f"checkpointing of {where} failed (this node's runtime does not checkpoint containers)")


async def _copy(request: web.Request, response: web.StreamResponse, told: AsyncGenerator[bytes]) -> None:
    """A log to whoever reads it, as fast as he reads."""
    async with aclosing(told):
        await response.prepare(request)
        async for data in told:
            await response.write(data)
        await response.write_eof()
