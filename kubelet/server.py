"""The kubelet's HTTPS server: logs, exec and attach for the apiserver, /pods and /healthz."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from api.errors import ApiError, BadRequest, Forbidden, InternalError, NotFound, Unauthorized
from api.meta import Obj
from client.clock import Clock
from kubelet import auth, container_logs, remote_command
from kubelet.docker_runtime import DockerRuntime, Missing, RuntimeFailure
from kubelet.model import Container, find_container
from kubelet.pleg import Observer
from kubelet.pods import Pods

_OPEN_PATHS = ("/healthz",)


class Server:
    def __init__(self, runtime: DockerRuntime, observer: Observer, pods: Pods, clock: Clock) -> None:
        self._runtime, self._observer, self._pods, self._clock = runtime, observer, pods, clock
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, cert: str, key: str, ca: str) -> None:
        app = web.Application(middlewares=[_errors, _authenticated])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/pods", self._list_pods)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for method in (app.router.add_get, app.router.add_post):
            method("/exec/{namespace}/{pod}/{container}", self._exec)
            method("/attach/{namespace}/{pod}/{container}", self._attach)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        context = auth.server_context(cert, key, ca)
        await web.TCPSite(self._runner, host, port, ssl_context=context, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _list_pods(self, _: web.Request) -> web.Response:
        items = self._pods.all()
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _target(self, request: web.Request) -> tuple[Obj, str]:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        pod = self._pods.find(namespace, name)
        if pod is None:
            raise NotFound(f'pod "{name}" not found in namespace "{namespace}" on this node')
        container = request.match_info["container"]
        if find_container(pod, container) is None:
            raise BadRequest(f"container {container} is not valid for pod {name}")
        return pod, container

    def _running(self, request: web.Request) -> Container:
        pod, name = self._target(request)
        container = self._observer.of_pod(pod["metadata"]["uid"]).latest(name)
        if container is None or not container.running:
            raise InternalError(f'container not found ("{name}")')
        return container

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        pod, name = self._target(request)
        query = request.query
        container_id = container_logs.container_id(pod, name, container_logs.flag(query, "previous"))
        params = container_logs.docker_parameters(query, self._clock.now())
        left = container_logs.number(query, "limitBytes")
        known = self._observer.get(container_id)
        try:
            stream = await self._runtime.logs(container_id, params)
        except Missing as error:
            text = f"unable to retrieve container logs for docker://{container_id}"
            raise BadRequest(text) from error
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        try:
            await response.prepare(request)
            tty = known is not None and known.tty
            async for _, data in stream.raw() if tty else stream.frames():
                await response.write(data if left is None else data[:left])
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        break
            await response.write_eof()
        except ConnectionResetError:
            # The reader has gone: with follow that is the usual end.
            return response
        finally:
            stream.close()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        container = self._running(request)
        query = request.query
        command = query.getall("command", [])
        if not command:
            raise BadRequest("you must specify at least 1 command for the container")
        _must_be_websocket(request)
        tty, stdin = container_logs.flag(query, "tty"), container_logs.flag(query, "stdin")
        stdin = stdin or query.get("input") == "1"
        exec_id = await self._runtime.exec_create(
            container.id,
            list(command),
            stdin=stdin,
            stdout=container_logs.flag(query, "stdout") or query.get("output") == "1",
            stderr=container_logs.flag(query, "stderr") or query.get("error") == "1",
            tty=tty,
        )
        stream = await self._runtime.exec_start(exec_id, tty=tty)

        async def resize(width: int, height: int) -> None:
            await self._runtime.exec_resize(exec_id, width, height)

        async def exit_code() -> int | None:
            return await self._runtime.exec_exit_code(exec_id)

        return await remote_command.serve(request, stream, tty=tty, stdin=stdin, resize=resize, exit_code=exit_code)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        container = self._running(request)
        _must_be_websocket(request)
        query = request.query
        stdin = container_logs.flag(query, "stdin") and container.open_stdin
        params = {"stream": "1", "stdin": "1" if stdin else "0"}
        params |= {name: "1" if container_logs.flag(query, name) else "0" for name in ("stdout", "stderr")}
        stream = await self._runtime.attach(container.id, params)

        async def resize(width: int, height: int) -> None:
            await self._runtime.resize(container.id, width, height)

        async def exit_code() -> int | None:
            return None

        return await remote_command.serve(
            request, stream, tty=container.tty, stdin=stdin, resize=resize, exit_code=exit_code
        )


def _must_be_websocket(request: web.Request) -> None:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise BadRequest("unable to upgrade: only WebSocket connections are served")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path not in _OPEN_PATHS:
        tls = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
        caller = auth.identity(tls.getpeercert() if tls is not None else None)
        if caller is None:
            raise Unauthorized
        name, groups = caller
        if not auth.allowed(name, groups):
            raise Forbidden(f"Forbidden (user={name}, verb={request.method.lower()}, resource=nodes)")
    return await handler(request)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.Response(status=error.code, text=error.message)
    except RuntimeFailure as error:
        return web.Response(status=500, text=str(error))
