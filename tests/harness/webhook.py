"""A real HTTPS server in a thread, for webhooks of a test: JSON in, JSON out."""

from __future__ import annotations

import base64
import ssl
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from deploy.certificates import Request, issue
from tests.harness.pki import Pki

Answer = Callable[[Any], Any]


class Webhook:
    """`answer` gets each body and may be replaced while the server runs. `calls` are the bodies so far."""

    def __init__(self, pki: Pki, answer: Answer, *names: str) -> None:
        self.answer, self.calls = answer, []  # type: tuple[Answer, list[Any]]
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.calls.append(body)
                data = orjson.dumps(webhook.answer(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Silent."""

        authority = pki.pair("ca")
        pair = issue(authority, Request("webhook", names=("127.0.0.1", *names), server=True), datetime.now(UTC))
        self.ca_bundle = base64.b64encode(authority.certificate).decode()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = Path(directory, "crt"), Path(directory, "key")
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            tls.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
