"""A real HTTPS server in a thread, for webhooks of a test: JSON in, JSON out; or anything else, to see who bears it."""

from __future__ import annotations

import base64
import ssl
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from deploy.certificates import Request, issue
from tests.harness.pki import Pki


class Reply(NamedTuple):
    """An answer that is not the JSON it should be. Status 0: the connection ends without one."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    closes: bool = False
    """The connection ends after it, which it does not say."""


Answer = Callable[[Any], Any]


class Webhook:
    """`answer` gets each body and may be replaced while the server runs. `calls` are the bodies so far, `paths` where
    they went. The certificate is that of the cluster's CA for 127.0.0.1 and `names`, or for them alone and from
    another time. With `knows` it wants a certificate of the cluster's CA from who calls."""

    def __init__(
        self,
        pki: Pki,
        answer: Answer,
        *names: str,
        issued: datetime | None = None,
        local: bool = True,
        knows: bool = False,
        address: str = "127.0.0.1",
    ) -> None:
        self.answer, self.calls = answer, []  # type: tuple[Answer, list[Any]]
        self.paths: list[str] = []
        self.callers: list[str] = []  # the Authorization headers
        self.connections = 0
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                webhook.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.calls.append(body)
                webhook.paths.append(self.path)
                webhook.callers.append(self.headers.get("Authorization", ""))
                made = webhook.answer(body)
                reply = made if isinstance(made, Reply) else Reply(200, orjson.dumps(made), "application/json")
                self.close_connection = reply.closes or not reply.status
                if not reply.status:
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.content_type)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: Any) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that does not trust us, or does not wait, is no error here."""

        authority = pki.pair("ca")
        wanted = Request("webhook", names=(*(("127.0.0.1",) if local else ()), *names), server=True)
        pair = issue(authority, wanted, issued or datetime.now(UTC))
        self.ca_bundle = base64.b64encode(authority.certificate).decode()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = Path(directory, "crt"), Path(directory, "key")
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            tls.load_cert_chain(certificate, key)
        if knows:
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(cadata=authority.certificate.decode())
        self._server = Server((address, 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://{address}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
