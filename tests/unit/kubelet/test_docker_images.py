"""Docker's reports of pulls and loads, and how they end."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from api.meta import Obj
from kubelet.docker.images import DockerImages
from kubelet.docker.runtime import DockerRuntime, Missing, Refused, RuntimeFailure, Unreachable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def docker(tmp_path: Path, serve: Serve) -> AsyncIterator[DockerImages]:
    """An Engine of which only the answer to one request is known."""
    path = str(tmp_path / "docker.sock")
    server = await asyncio.start_unix_server(serve, path)
    runtime = DockerRuntime(f"unix://{path}", "c", "n")
    try:
        yield DockerImages(runtime)
    finally:
        runtime.close()
        server.close()


def answer(status: str, *lines: Obj, head: list[bytes] | None = None, stays: bool = False) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if head is not None:
            head.append(asked)
        writer.write(
            f"HTTP/1.0 {status}\r\n\r\n".encode() + b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        )
        await writer.drain()
        if stays:
            await reader.read()
        writer.close()

    return serve


async def test_a_pull(tmp_path: Path) -> None:
    head: list[bytes] = []
    heard: list[Obj] = []
    lines: list[Obj] = [{"status": "Downloading", "id": "a"}, {"status": "Status: Downloaded newer image for a:1"}]
    async with docker(tmp_path, answer("200 OK", *lines, head=head)) as images:
        await images.pull("r:5000/a:1", {"username": "u", "password": "p"}, heard.append)
    assert heard == lines
    first, *others = head[0].decode().split("\r\n")
    assert first == "POST /v1.41/images/create?fromImage=r%3A5000%2Fa%3A1 HTTP/1.0"
    auth = next(line.split(": ")[1] for line in others if line.startswith("X-Registry-Auth"))
    assert json.loads(base64.urlsafe_b64decode(auth)) == {"username": "u", "password": "p"}


@pytest.mark.parametrize(("serve", "kind", "text"), [
    (answer("404 Not Found", {"message": "manifest for a:1 not found"}), Missing, "manifest for a:1 not found"),
    (answer("500 Internal", {"message": "no basic auth"}), Refused, "no basic auth"),
    (answer("200 OK", {"status": "Downloading"}, {"error": "verification failed"}), Refused, "verification failed"),
    (answer("200 OK", {"status": "Downloading"}), Unreachable, "broke off after 'Downloading'"),
    (answer("200 OK", {"status": "Waiting"}, stays=True), Refused, "no progress for 0.2s, latest progress: 'Waiting'"),
    (answer("200 OK", stays=True), Refused, "no progress for 0.2s"),
])  # fmt: skip
async def test_a_pull_that_fails(tmp_path: Path, serve: Serve, kind: type[RuntimeFailure], text: str) -> None:
    async with docker(tmp_path, serve) as images:
        with pytest.raises(kind, match=text):
            await images.pull("a:1", None, lambda _: None, patience=0.2)


async def test_a_load(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with docker(tmp_path, answer("200 OK", {"stream": "Loaded image: a:1\n"})) as images:
        assert await images.load(pieces()) == "Loaded image: a:1\n"
    async with docker(tmp_path, answer("500 Internal", {"message": "unexpected EOF"})) as images:
        with pytest.raises(Refused, match="unexpected EOF"):
            await images.load(pieces())


async def test_an_image_of_which_nothing_more_comes_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    async with docker(tmp_path, answer("200 OK", stays=True)) as images:
        with pytest.raises(Unreachable, match="Docker sent nothing of an image for 0.2s"):
            await images.export("sha256:1", tmp_path / "new", patience=0.2)
    assert sorted(os.listdir(tmp_path)) == ["docker.sock", "new"]
