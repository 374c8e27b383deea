"""The kubelet's HTTPS server: what it serves is in containers.py and node.py, who may ask in auth.py."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from api.errors import ApiError
from client import metrics
from kubelet.docker.runtime import RuntimeFailure
from kubelet.server.auth import Access, server_context

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LONG_RUNNING = ("exec", "attach", "portForward")
_KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 6}
"""Who has vanished without a word is noticed within two minutes."""


class Server:
    def __init__(self, access: Access, routes: Iterable[web.RouteDef]) -> None:
        self._access, self._routes = access, list(routes)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int, cert: str, key: str, ca: str) -> None:
        app = web.Application(middlewares=[_counted, _errors, self._admitted])
        app.router.add_routes(self._routes)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1, keepalive_timeout=90
        )
        await self._runner.setup()
        context = server_context(cert, key, ca)
        await web.SockSite(self._runner, _listening(host, port), ssl_context=context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _admitted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        tls = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
        certificate = tls.getpeercert() if tls is not None else None
        resource = request.match_info.route.resource
        path = request.path if resource is None else resource.canonical
        await self._access.admit(request.method, path, certificate, request.headers.get("Authorization", ""))
        return await handler(request)


def _listening(host: str, port: int) -> socket.socket:
    """Accepted connections inherit its options."""
    made = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    made.setblocking(False)
    return made


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    resource = request.match_info.route.resource
    path = "other" if resource is None else "/".join(resource.canonical.strip("/").split("/{")[0].split("/")[:2])
    metrics.count(
        "kubelet_http_requests",
        method=request.method,
        path=path,
        server_type="readwrite",
        long_running=str(path in _LONG_RUNNING).lower(),
    )
    return await handler(request)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiError as error:
        return web.Response(status=error.code, text=error.message)
    except RuntimeFailure as error:
        return web.Response(status=500, text=str(error))
