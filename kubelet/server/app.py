"""The kubelet's HTTPS server: logs, exec, attach and port-forward for the apiserver, /pods and /healthz."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from api.errors import ApiError, BadRequest, Forbidden, InternalError, NotFound, Unauthorized
from api.meta import Obj
from client import metrics
from client.clock import Clock
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime, Missing, RuntimeFailure
from kubelet.pods.model import Container, find_container
from kubelet.pods.pods import Pods
from kubelet.server import auth, container_logs
from kubelet.server.streaming import netns, port_forward, remote_command
from kubelet.server.streaming.port_forward import Connection
from kubelet.server.streaming.remote_command import Command

_OPEN_PATHS = ("/healthz",)


class Server:
    def __init__(
        self, runtime: DockerRuntime, observer: Observer, pods: Pods, clock: Clock, settings: Mapping[str, object]
    ) -> None:
        """`settings` are told at /configz, in the names of KubeletConfiguration."""
        self._runtime, self._observer, self._pods, self._clock = runtime, observer, pods, clock
        self._settings = settings
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, cert: str, key: str, ca: str) -> None:
        app = web.Application(middlewares=[_errors, _authenticated])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/pods", self._list_pods)
        app.router.add_get("/runningpods/", self._running_pods)
        app.router.add_get("/configz", self._configz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        for method in (app.router.add_get, app.router.add_post):
            method("/exec/{namespace}/{pod}/{container}", self._exec)
            method("/attach/{namespace}/{pod}/{container}", self._attach)
            method("/portForward/{namespace}/{pod}", self._port_forward)
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

    async def _running_pods(self, _: web.Request) -> web.Response:
        """What runs, whatever should."""
        items = []
        for uid in self._observer.pods():
            running = self._observer.of_pod(uid).running()
            containers = [{"name": c.name, "image": c.image, "resources": {}} for c in running]
            if running:
                meta = {"name": running[0].pod_name, "namespace": running[0].pod_namespace, "uid": uid}
                items.append({"metadata": meta, "spec": {"containers": containers}, "status": {}})
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _configz(self, _: web.Request) -> web.Response:
        return web.json_response({"kubeletconfig": self._settings})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), content_type="text/plain")

    def _pod(self, request: web.Request) -> Obj:
        namespace, name = request.match_info["namespace"], request.match_info["pod"]
        pod = self._pods.find(namespace, name)
        if pod is None:
            raise NotFound(f'pod "{name}" not found in namespace "{namespace}" on this node')
        return pod

    def _target(self, request: web.Request) -> tuple[Obj, str]:
        pod, container = self._pod(request), request.match_info["container"]
        if find_container(pod, container) is None:
            raise BadRequest(f"container {container} is not valid for pod {pod['metadata']['name']}")
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
        query = request.query
        tty, stdin = container_logs.flag(query, "tty"), container_logs.flag(query, "input")
        wanted = {
            name: container_logs.flag(query, asked) for name, asked in (("stdout", "output"), ("stderr", "error"))
        }
        command = query.getall("command", [])

        async def find() -> Command:
            container = self._running(request)
            remote_command.must_have_command(command)
            exec_id = await self._runtime.exec_create(container.id, command, stdin=stdin, tty=tty, **wanted)

            async def hang_up() -> None:
                await self._runtime.exec_hang_up(exec_id, container.id)

            return Command(
                lambda: self._runtime.exec_start(exec_id, tty=tty),
                tty=tty,
                stdin=stdin,
                resize=lambda width, height: self._runtime.exec_resize(exec_id, width, height),
                exit_code=lambda: self._runtime.exec_exit_code(exec_id),
                hang_up=hang_up,
                doing="executing command in container",
            )

        return await remote_command.serve(request, find)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        async def find() -> Command:
            container = self._running(request)
            stdin = container_logs.flag(request.query, "input") and container.open_stdin
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
            )

        return await remote_command.serve(request, find)

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        meta = pod["metadata"]

        async def dial(port: int) -> Connection:
            sandbox = self._observer.of_pod(meta["uid"]).live_sandbox
            if sandbox is None:
                raise OSError("the pod's sandbox is not running")
            return await netns.connect(sandbox.pid, port)

        return await port_forward.serve(request, dial, f"{meta['name']}_{meta['namespace']}, uid {meta['uid']}")


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
