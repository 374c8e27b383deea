"""An OpenID Connect provider: HTTPS on loopback, keys that a test can change, and ID tokens."""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from deploy.certificates import Request, issue
from tests.harness.pki import Pki


class Provider:
    """`keys` are what it publishes, by kid; the first signs unless a test says otherwise."""

    def __init__(self, pki: Pki) -> None:
        self.keys = {"one": rsa.generate_private_key(65537, 2048)}
        self.asked: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                body = json.dumps(provider.document(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Silent."""

        pair = issue(pki.pair("ca"), Request("provider", names=("127.0.0.1",), server=True), datetime.now(UTC))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = Path(directory, "crt"), Path(directory, "key")
            certificate.write_bytes(pair.certificate)
            key.write_bytes(pair.key)
            tls.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def document(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        public = {kid: RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) for kid, key in self.keys.items()}
        return {"keys": [{**jwk, "kid": kid, "use": "sig", "alg": "RS256"} for kid, jwk in public.items()]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good token for `sampan`; None leaves one out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": "sampan", "sub": "jane", "iat": now, "exp": now + 600, "groups": ["dev"]}
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, kid: str = "one", key: rsa.RSAPrivateKey | None = None, **changes: Any) -> str:
        signer = key or self.keys[kid]
        return jwt.encode(self.claims(**changes), signer, "RS256", headers={"kid": kid})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
