"""Image registries on loopback: Debian's docker-registry, and a front of it that misbehaves.

Images are pushed over the registry's own interface, so that no Docker on this machine has them.
https://distribution.github.io/distribution/spec/api/
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.harness.process import Process, free_port

USER, PASSWORD = "puller", "secret"
_HASHED = "$2b$04$qwDkkcimz7jB.ECQtK8l6eCFT4CjrjETdc7A1bBQ2n4lMk/wCi9dq"  # of PASSWORD
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Base:
    """An image taken apart: its configuration, and its layers as tars."""

    config: dict[str, Any]
    layers: Sequence[bytes]

    @classmethod
    def of(cls, image: str, socket_url: str) -> Base:
        saved = subprocess.run(["docker", "-H", socket_url, "save", image], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:

            def read(name: str) -> bytes:
                member = tar.extractfile(name)
                assert member is not None
                return member.read()

            manifest = json.loads(read("manifest.json"))[0]
            return cls(json.loads(read(manifest["Config"])), [read(name) for name in manifest["Layers"]])


class Registry:
    def __init__(self, directory: Path, *, private: bool = False) -> None:
        assert shutil.which("docker-registry"), "docker-registry is not installed: make test installs it"
        directory.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        self._auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode() if private else ""
        config: dict[str, Any] = {
            "version": 0.1, "log": {"level": "warn"}, "http": {"addr": self.address},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        }  # fmt: skip
        if private:
            (directory / "users").write_text(f"{USER}:{_HASHED}\n")
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(directory / "users")}}
        (directory / "config.yml").write_text(json.dumps(config))
        self._process = Process(
            "registry", ["docker-registry", "serve", str(directory / "config.yml")], directory / "log",
            ready=self._listens, env={"OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip

    def start(self) -> None:
        self._process.start()

    def stop(self) -> None:
        self._process.stop()

    def _listens(self) -> bool:
        host, port = self.address.split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def push(self, repository: str, base: Base, tag: str = "1") -> str:
        """The base with a layer of its own on top, which no other image has. Its digest."""
        layers = [gzip.compress(layer, 1, mtime=0) for layer in (*base.layers, _own_layer(f"{repository}:{tag}"))]
        rootfs = {"type": "layers", "diff_ids": [_digest(gzip.decompress(layer)) for layer in layers]}
        config = json.dumps({**base.config, "rootfs": rootfs, "history": []}).encode()
        for blob in (config, *layers):
            self._push_blob(repository, blob)
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": _MANIFEST, "config": _described(_CONFIG, config),
            "layers": [_described(_LAYER, layer) for layer in layers],
        }).encode()  # fmt: skip
        self._request("PUT", f"/v2/{repository}/manifests/{tag}", manifest, _MANIFEST)
        return _digest(manifest)

    def _push_blob(self, repository: str, blob: bytes) -> None:
        where = self._request("POST", f"/v2/{repository}/blobs/uploads/")
        self._request("PUT", f"{where}&digest={_digest(blob)}", blob, "application/octet-stream")

    def _request(self, method: str, path: str, body: bytes = b"", content: str = "") -> str:
        """Its Location."""
        url = path if path.startswith("http") else f"http://{self.address}{path}"
        headers = {"Content-Type": content or "application/octet-stream"}
        if self._auth:
            headers["Authorization"] = f"Basic {self._auth}"
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=20) as answer:
            return str(answer.headers.get("Location") or "")


def _own_layer(content: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("own")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"


def _described(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(data), "digest": _digest(data)}


class Front(ThreadingHTTPServer):
    """What is below `slow/` comes after a while, below `broken/` spoilt, below `overloaded/` not at all."""

    daemon_threads = True
    SECONDS = 3.0

    def __init__(self, behind: Registry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.asked: list[str] = []
        """The paths of all requests."""
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass_on()

    def do_HEAD(self) -> None:
        self._pass_on()

    def _pass_on(self) -> None:
        self.server.asked.append(self.path)
        kind = self.path.split("/")[2] if self.path.count("/") > 2 else ""
        if kind == "overloaded":
            self._answer(503, {}, b"<html>too much</html>")
            return
        headers = {"Accept": ", ".join(self.headers.get_all("Accept") or ["*/*"])}
        url = f"http://{self.server.behind.address}{self.path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, None, headers, method=self.command)) as found:
                status, told, body = found.status, dict(found.headers), found.read()
        except urllib.error.HTTPError as error:
            status, told, body = error.code, dict(error.headers), error.read()
        is_own_layer = "/blobs/" in self.path and len(body) < 500 and body.startswith(b"\x1f\x8b")
        if kind == "slow" and is_own_layer:
            time.sleep(self.server.SECONDS)
        if kind == "broken" and is_own_layer:
            body = body[:-1] + bytes([body[-1] ^ 1])
        self._answer(status, told, body)

    def _answer(self, status: int, told: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name in ("Content-Type", "Docker-Content-Digest", "Docker-Distribution-Api-Version"):
            if name in told:
                self.send_header(name, told[name])
        size = told.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests read the list of paths."""
