"""uvicorn with what it lacks: the client's certificate in the ASGI scope, and an orderly end.

On SIGTERM readiness fails first, then watches end, then requests under way finish.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import time
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from apiserver import app
from apiserver.auth.handshake import Handshakes
from apiserver.auth.x509 import NOBODY, REFUSED, Peer
from apiserver.context import Context
from apiserver.door import Door
from apiserver.options import Options

log = logging.getLogger("apiserver")

_KEEP_ALIVE = 300
_GRACE = 10
# What a scope holds of its cycle, which holds the scope: when the answer is out they are taken apart, else only the
# garbage collector would find every request, and walk the whole cache for it.
_OF_CYCLE = ("sampan.whole", "sampan.abort", "sampan.gone", "sampan.upgrade")


def _peer(transport: Any, door: Any) -> Peer:
    certificate = transport.get_extra_info("peercert")
    if not certificate:
        return NOBODY
    connection = transport.get_extra_info("ssl_object")
    if not door.handshakes.is_verified(connection):
        return Peer(REFUSED)
    peer: Peer = door.peers.peer(certificate, connection.getpeercert(binary_form=True))
    return peer


class HttpProtocol(HttpToolsProtocol):
    """One certificate per connection, so its user is worked out once and shared by all its requests."""

    peer = NOBODY

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.peer = _peer(transport, self.config.app)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self.peer is not NOBODY:
            scope: Any = self.scope
            scope["sampan.peer"] = self.peer.at(time.time())

    def _should_upgrade(self) -> bool:
        """Only our own WebSocket watches are uvicorn's; every other upgrade is passed on as raw bytes, or ignored."""
        door: Any = self.config.app
        return super()._should_upgrade() and door.serves_websocket(self.url)

    def _unsupported_upgrade_warning(self) -> None:
        """After such a request nothing is read until it is known for whom."""
        self.flow.pause_reading()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        scope: Any = cycle.scope
        scope["sampan.whole"] = partial(_send_whole, cycle)
        scope["sampan.abort"] = partial(_abort, cycle)
        scope["sampan.gone"] = partial(getattr, cycle, "disconnected")
        if self.parser.should_upgrade():
            cycle.keep_alive = False
            scope["sampan.upgrade"] = partial(self._hand_over, cycle)
        super()._start_asgi_task(cycle, app)

    def _hand_over(self, cycle: RequestResponseCycle) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection itself; HTTP is done with it. ConnectionResetError when it is gone."""
        if cycle.disconnected or self.transport.is_closing():
            raise ConnectionResetError("the client has gone away")
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        cycle.response_started = cycle.response_complete = True
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self.flow.resume_reading()
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)

    def shutdown(self) -> None:
        """Idle connections end now: their clients do not read, so nobody would answer the TLS farewell."""
        super().shutdown()
        if self.transport.is_closing() and not self.transport.get_write_buffer_size():
            self.transport.abort()


def _send_whole(
    cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: Sequence[bytes]
) -> None:
    """A whole answer with one write, which is one TLS record; plain ASGI takes two messages and two records.

    `headers` include content-length and are ours alone, so they need no check for what must not be in them.
    """
    if cycle.disconnected or cycle.response_started:
        return
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
    if cycle.scope["method"] != "HEAD":
        parts += body
    cycle.response_started = cycle.response_complete = True
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    scope: Any = cycle.scope
    for entry in _OF_CYCLE:
        scope.pop(entry, None)


def _abort(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.transport.abort()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    peer = NOBODY

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.peer = _peer(transport, self.config.app)

    async def run_asgi(self) -> None:
        if self.peer is not NOBODY:
            scope: Any = self.scope
            scope["sampan.peer"] = self.peer.at(time.time())
        await super().run_asgi()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # refused in due form: nothing to complain of


def _tls(options: Options) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(options.tls_cert_file, options.tls_private_key_file)
    tls.set_alpn_protocols(["http/1.1"])
    if options.client_ca_file:
        tls.load_verify_locations(options.client_ca_file)
        tls.verify_mode = ssl.CERT_OPTIONAL
    if options.requestheader_client_ca_file:
        tls.load_verify_locations(options.requestheader_client_ca_file)
        tls.verify_mode = ssl.CERT_OPTIONAL
    return tls


class Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, context: Context, door: Door) -> None:
        super().__init__(config)
        self._context = context
        self._door = door

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """An asked-for end is a clean one: uvicorn would raise the signal again and die of it."""
        super().handle_exit(sig, frame)
        self._captured_signals.clear()

    async def shutdown(self, sockets: Any = None) -> None:
        self._context.stopping.set()
        self._door.end_streams()
        await asyncio.sleep(0)
        await super().shutdown(sockets)


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT."""
    context = app.build_context(options)
    door = app.build(context)
    tls = _tls(options)
    door.handshakes = Handshakes(tls)
    config = uvicorn.Config(
        door,
        host=options.bind_address,
        port=options.secure_port,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        loop="uvloop",
        ssl_context_factory=lambda *_: tls,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ws_ping_timeout=None,
        backlog=1024,
    )
    # The cache is a great many objects that live long: the collector's default would walk them all the time.
    gc.set_threshold(50_000, 20, 50)
    log.info("serving on https://%s:%d", options.bind_address, options.secure_port)
    Server(config, context, door).run()
