"""What we say to a Docker Engine, to one that is a few lines here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from typing import Any

import pytest

from deploy import docker_api
from deploy.docker_api import Engine
from deploy.errors import Failure


class Docker(UnixStreamServer):
    """Answers with `answers`, one after the other, and remembers what it was asked."""

    answers: list[tuple[int, bytes]]
    asked: list[str]


class _Handler(BaseHTTPRequestHandler):
    server: Docker

    def do_DELETE(self) -> None:
        self.server.asked.append(self.path)
        code, body = self.server.answers.pop(0)
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return

    def address_string(self) -> str:
        return "a socket"


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[Docker]:
    with Docker(str(tmp_path / "docker.sock"), _Handler) as server:
        server.answers, server.asked = [], []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


BUSY = (409, b'{"message":"removal of container c is already in progress"}')


def test_a_container_that_somebody_removes_already(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubelet that `sampan reset` has just stopped may have asked for it. Returns when it is gone."""
    monkeypatch.setattr(docker_api, "_PAUSE", 0)
    docker.answers = [BUSY, BUSY, (404, b'{"message":"No such container: c"}')]
    Engine(tmp_path / "docker.sock").remove_container("c")
    assert docker.asked == ["/containers/c?force=1&v=1"] * 3


def test_a_container_that_cannot_be_removed(docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.answers = [(500, b'{"message":"driver failed to remove root filesystem"}')]
    with pytest.raises(Failure, match="driver failed to remove"):
        Engine(tmp_path / "docker.sock").remove_container("c")
    monkeypatch.setattr(docker_api, "_REMOVAL_SECONDS", -1)
    docker.answers = [BUSY]
    with pytest.raises(Failure, match="already in progress"):
        Engine(tmp_path / "docker.sock").remove_container("c")
