"""The way in: every request, HTTP or WebSocket, passes here and nowhere else.

authentication → audit → flow control → authorization → deadline → handler → answer or Status → metrics. Requests for
resources go straight to their verb; the others (health, discovery, documents) to the FastAPI routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterator
from typing import Any
from urllib.parse import unquote

from api.cel.values import EvaluationError, parse_duration
from api.errors import ApiError, BadRequest, Forbidden, InternalError, ServiceUnavailable, Timeout, Unauthorized
from apiserver.auth.authorizer import forbidden
from apiserver.auth.handshake import Handshakes
from apiserver.auth.impersonation import effective_user
from apiserver.auth.user import User
from apiserver.auth.x509 import FRONT_PROXY, REFUSED, Peers, told_by_proxy
from apiserver.context import Context
from apiserver.flow.gate import kind_of
from apiserver.metrics import labels_of
from apiserver.request import Message, Receive, Request, Scope, Send, parse
from apiserver.response import Answer, Reply, Stream, Tunnel, error_reply
from apiserver.routes.resources import is_long_running, serve

DEADLINE = 60.0

log = logging.getLogger("apiserver")


class Door:
    """An ASGI application around the FastAPI one."""

    handshakes: Handshakes

    def __init__(self, context: Context, routes: Any) -> None:
        options = context.options
        self.peers = Peers(
            options.client_ca_file, options.requestheader_client_ca_file, options.requestheader_allowed_names
        )
        self._context = context
        self._routes = routes
        self._gate = context.gate
        self._audit = context.audit
        self._inflight = context.metrics.inflight
        self._streams: set[asyncio.Task[Any]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._routes(scope, receive, send)

    def end_streams(self) -> None:
        """Watches and followed logs end now, each with a proper end of body."""
        for task in list(self._streams):
            task.cancel()

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request = Request(scope, receive)
        self._audit.begin(request)
        answer: Answer
        try:
            answer = await self._admit(request)
        except ApiError as error:
            answer = error_reply(self._as_far_as_known(error))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            answer = error_reply(InternalError("Internal error occurred: see the log of the server"))
            if request.trail is not None:
                request.trail.panicked(answer)
        long_running = isinstance(answer, Stream | Tunnel)
        if long_running and request.trail is not None:
            request.trail.started(answer)
        try:
            if isinstance(answer, Stream):
                await self._stream(request, answer, send)
            elif isinstance(answer, Tunnel):
                await self._tunnel(request, answer)
            elif isinstance(answer, Reply):
                await answer.send(request, send)
        finally:
            if request.streaming:
                self._gate.close_stream(request)
            if request.trail is not None:
                request.trail.complete(answer, long_running=is_long_running(request))
        status = answer.status if isinstance(answer, Reply | Stream) else 101
        elapsed = time.perf_counter() - started
        self._context.metrics.observe(
            labels_of(request.info, served="sampan.served" in scope),
            status,
            seconds=None if long_running else elapsed,
            size=answer.size if isinstance(answer, Reply) else 0,
            dry_run=b"dryRun=" in scope["query_string"],
        )
        if self._context.options.verbosity >= 2:
            log.info("%s %s %d %.1fms %s", request.method, request.path, status, elapsed * 1000, request.user.name)

    async def _admit(self, request: Request) -> Answer:
        context = self._context
        await self._identify(request)
        info = request.info
        if is_long_running(request):
            return await self._begin(request)
        seconds = _deadline(request)
        seconds -= await self._gate.enter(request, seconds)
        kind = kind_of(info)
        self._inflight[kind] += 1
        try:
            self._authorize(request)
            if info.verb == "get" and info.is_resource and seconds == DEADLINE:
                return await serve(context, request)  # waits for the store alone, which has deadlines of its own
            async with asyncio.timeout(seconds):
                if info.is_resource:
                    return await serve(context, request)
                return await self._document(request)
        except TimeoutError as error:
            raise Timeout(
                "Timeout: request did not complete within the allotted timeout", {"retryAfterSeconds": 1}
            ) from error
        finally:
            self._inflight[kind] -= 1
            self._gate.leave(request)

    async def _begin(self, request: Request) -> Answer:
        """Something that may go on for long. A watch has a seat until all that it begins with is out."""
        self._gate.open_stream(request)
        if request.info.verb == "watch":
            await self._gate.enter(request, DEADLINE)
        self._authorize(request)
        answer = await serve(self._context, request)
        if "sampan.served" not in request.scope:
            self._gate.leave(request)  # another server's, which has seats of its own
        return answer

    async def _identify(self, request: Request) -> None:
        context = self._context
        peer: User | None = request.scope.get("sampan.peer")
        user = told_by_proxy(request.scope["headers"]) if peer is FRONT_PROXY else None if peer is REFUSED else peer
        try:
            user = user or await context.authenticator.user(request, anonymous=peer is not REFUSED)
        except Unauthorized:
            self._audit.received(request, None)
            raise
        request.user = user
        self._audit.received(request, user)
        if request.impersonates:
            request.user = effective_user(request, user, context.authorizer)

    def _as_far_as_known(self, error: ApiError) -> ApiError:
        """While nothing has been read yet, whose a token is and what a user may do are not known: 401 and 403 would not
        be true, and clients give up on them."""
        if isinstance(error, Unauthorized | Forbidden):
            try:
                self._context.store.check_filled()
            except ServiceUnavailable as unknown:
                return unknown
        return error

    def _authorize(self, request: Request) -> None:
        """Forbidden"""
        allowed, why = self._context.authorizer.decide(request.user, request.info)
        if request.trail is not None:
            request.trail.authorized(allowed=allowed, why=why)
        if not allowed:
            raise forbidden(request.user, request.info, why)

    async def _document(self, request: Request) -> Answer:
        """What the FastAPI routes answer, or an API server behind this one."""
        if (behind := self._context.aggregation.find(request.path)) is not None:
            return await self._context.aggregation.relay(request, behind)
        if request.path.startswith(("/apis", "/openapi")):
            await self._context.definitions.catch_up()
        start: Message = {}
        pieces: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))

        scope = {**request.scope, "path": request.path.rstrip("/") or "/"}
        await self._routes(scope, request.receive, collect)
        headers = {name: value for name, value in start["headers"] if name != b"content-length"}
        content_type = headers.pop(b"content-type", b"")
        return Reply(b"".join(pieces), start["status"], content_type, list(headers.items()))

    async def _stream(self, request: Request, stream: Stream, send: Send) -> None:
        """Send until the source ends, the client leaves or the server stops."""
        gone = asyncio.ensure_future(request.disconnected())
        with self._counted(request, stream.send(request, send)) as task:
            try:
                await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    if any(name.lower() == b"content-length" for name, _ in stream.headers):
                        request.abort()  # it cannot be ended before it is whole
                    elif not gone.done():  # the server stops: tell the client that this was all
                        await send({"type": "http.response.body", "body": b""})
            finally:
                gone.cancel()

    async def _tunnel(self, request: Request, tunnel: Tunnel) -> None:
        """Hand the client's connection over, until it ends or the server stops."""
        try:
            reader, writer = request.scope["sampan.upgrade"]()
        except ConnectionResetError:
            tunnel.refuse()
            return
        with self._counted(request, tunnel.serve(reader, writer)) as task, contextlib.suppress(asyncio.CancelledError):
            await task

    @contextlib.contextmanager
    def _counted(self, request: Request, work: Coroutine[Any, Any, None]) -> Iterator[asyncio.Task[None]]:
        """`work` as a task that the metrics count and that ends with the server."""
        task = asyncio.ensure_future(work)
        key = labels_of(request.info)
        self._context.metrics.longrunning[key] += 1
        self._streams.add(task)
        try:
            yield task
        finally:
            self._context.metrics.longrunning[key] -= 1
            self._streams.discard(task)

    def serves_websocket(self, url: bytes) -> bool:
        """Only watches of resources of ours, and logs, are answered frame by frame."""
        path, _, query = url.decode("latin-1").partition("?")
        info = parse("GET", unquote(path), query)
        return (info.verb == "watch" or info.subresource == "log") and self._context.registry.by_plural(
            info.group, info.version, info.resource
        ) is not None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("method", "GET")
        request = Request(scope, receive)
        if (await receive())["type"] != "websocket.connect":
            return
        self._audit.begin(request)
        answer: Answer | None = None
        try:
            try:
                answer = await self._admit(request)
                if not isinstance(answer, Stream):
                    raise BadRequest("this path is not served over WebSocket")
            except ApiError as error:
                answer = error_reply(self._as_far_as_known(error))
                await _refuse(request, answer, send)
                return
            if request.trail is not None:
                request.trail.started(answer)
            frames = answer.send_frames(receive, send, scope["subprotocols"])
            with self._counted(request, frames) as task, contextlib.suppress(asyncio.CancelledError):
                await task
        finally:
            if request.streaming:
                self._gate.close_stream(request)
            if request.trail is not None and answer is not None:
                request.trail.complete(answer, long_running=True)


def _deadline(request: Request) -> float:
    """Seconds this request may take: what `?timeout=` says, up to our own limit. BadRequest."""
    if b"timeout=" not in request.scope["query_string"] or not (text := request.query("timeout")):
        return DEADLINE
    try:
        asked = parse_duration(text).nanos / 1e9
    except EvaluationError as error:
        raise BadRequest(f"invalid timeout specified in the request URL - {error}") from error
    return asked if 0 < asked < DEADLINE else DEADLINE


async def _refuse(request: Request, reply: Reply, send: Send) -> None:
    """Answer a WebSocket handshake with plain HTTP."""

    async def send_as_handshake(message: Message) -> None:
        await send({**message, "type": "websocket." + message["type"]})

    await reply.send(request, send_as_handshake)
