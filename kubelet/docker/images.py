"""The images of this node's Docker: found, listed, pulled, made, loaded, removed, unpacked.

Failures are those of kubelet/docker/runtime.py. A pull holds no thread: its progress is read on the event loop, and
cancelling it ends Docker's side.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector

from api.meta import Obj
from client import log
from kubelet.docker.runtime import DockerRuntime, Missing, Refused, Unreachable

_log = log.get("images")
_PATIENCE = 60.0
"""cri-dockerd's --image-pull-progress-deadline."""
_BEFORE_SAVING = 600.0
"""Seconds: Docker lays all layers of an image out on its disk before it sends the first byte of them."""


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    digests: tuple[str, ...]
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    size: int = 0
    tags: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    """Directories, the uppermost first, where Docker keeps layers so."""

    @property
    def image_id(self) -> str:
        """What status shows: a pullable digest if there is one."""
        return f"docker-pullable://{self.digests[0]}" if self.digests else f"docker://{self.id}"


class DockerImages:
    def __init__(self, runtime: DockerRuntime) -> None:
        self._runtime = runtime

    async def find(self, reference: str) -> Image | None:
        try:
            found = await self._runtime.look(lambda c: c.inspect_image(reference))
        except Missing:
            return None
        return _image(found, found.get("Config") or {})

    async def all(self) -> list[Image]:
        return [_image(each, {}) for each in await self._runtime.look(lambda c: c.images())]

    async def in_use(self) -> set[str]:
        """The ids of images that any container of this Docker, ours or not, was made from."""
        return {each["ImageID"] for each in await self._runtime.look(lambda c: c.containers(all=True))}

    async def disk(self) -> Path:
        """A directory on the file system that holds the images."""
        return Path((await self._runtime.info())["DockerRootDir"])

    async def usage(self) -> tuple[Path, int]:
        """`disk`, and how many bytes all images take."""
        return await self.disk(), sum(image.size for image in await self.all())

    async def pull(
        self, reference: str, auth: Mapping[str, str] | None, heard: Callable[[Obj], None], patience: float = _PATIENCE
    ) -> None:
        """`heard` is called with each line of Docker's progress report. Refused when there is none for so long."""
        headers = {}
        if auth:
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(dict(auth)).encode()).decode()
        params, last = {"fromImage": reference}, ""
        stream = await self._runtime.stream("POST", "/images/create", params, headers=headers, patience=patience)
        try:
            lines = stream.lines()
            while line := await asyncio.wait_for(anext(lines, None), patience):
                if line.get("error"):
                    raise Refused(line["error"])
                last = str(line.get("status") or "")
                heard(line)
        except TimeoutError as error:
            raise Refused(f"context canceled: no progress for {patience:g}s, latest progress: {last!r}") from error
        except (OSError, ValueError) as error:
            raise Unreachable(f"Docker's report of a pull broke off: {error}") from error
        finally:
            stream.close()
        if not last.startswith("Status: "):
            raise Unreachable(f"Docker's report of a pull broke off after {last!r}")

    async def make(self, tar: bytes, reference: str, changes: list[str]) -> None:
        """An image of one layer, from a tar; `changes` are Dockerfile instructions."""
        repository, tag = reference.rsplit(":", 1)
        await self._runtime.work(
            lambda c: c.import_image_from_data(tar, repository=repository, tag=tag, changes=changes)
        )

    async def load(self, pieces: AsyncIterator[bytes]) -> str:
        """Images as `docker save` writes them. Docker's report, in lines. Refused when it is no such thing."""
        url = urlsplit(self._runtime.host)
        connector = UnixConnector(url.path) if url.scheme == "unix" else None
        where = f"http://{url.netloc or 'docker'}/images/load?quiet=1"
        try:
            async with (
                ClientSession(connector=connector, timeout=ClientTimeout(None)) as session,
                session.post(where, data=pieces, headers={"Content-Type": "application/x-tar"}) as answer,
            ):
                lines = [json.loads(line) for line in (await answer.read()).splitlines()]
        except (ClientError, OSError, ValueError) as error:
            raise Unreachable(f"Docker did not answer while it loaded an image: {error}") from error
        for line in lines:
            if line.get("error") or line.get("message"):
                raise Refused(line.get("error") or line["message"])
        return "".join(line.get("stream", "") for line in lines)

    async def remove(self, image: Image) -> None:
        """With all its names. Refused when a container was made from it."""
        for name in (*image.tags, *image.digests, image.id):
            try:
                await self.untag(name)
            except Missing:
                _log.debug("image is gone already", image=name)

    async def untag(self, name: str) -> None:
        """Takes a name from an image, and with the last one the image. Missing; Refused when a container uses it."""
        await self._runtime.work(lambda c: c.remove_image(name))

    async def export(self, image_id: str, directory: Path, patience: float = _PATIENCE) -> None:
        """Unpacks the file system of an image into an empty directory, as it is in the image and with nothing of
        Docker's. Needs as much room again beside it meanwhile. Unreachable when Docker sends nothing for so long.

        Layers are unpacked by a process of its own, which sees nothing but the directory: no link in an image leads
        out of it.
        """
        with TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as work:
            await self._save(image_id, Path(work), patience)
            layers = await asyncio.to_thread(_layers, Path(work))
            await _run(sys.executable, "-m", "kubelet.images.unpack", str(directory), *map(str, layers))

    async def _save(self, image_id: str, directory: Path, patience: float) -> None:
        """`docker save`, unpacked. Its tar is Docker's own and holds plain names."""
        stream = await self._runtime.stream("GET", f"/images/{image_id}/get", patience=_BEFORE_SAVING)
        try:
            await _run("tar", "-x", "-C", str(directory), "--no-same-owner", fed=_steady(stream.raw(), patience))
        except TimeoutError as error:
            raise Unreachable(f"Docker sent nothing of an image for {patience:g}s") from error
        finally:
            stream.close()


async def _run(*argv: str, fed: AsyncIterator[tuple[int, bytes]] | None = None) -> None:
    """OSError, with the end of what it said, when it fails."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stderr=pipe)
    assert child.stdin is not None and child.stderr is not None
    try:
        _, said, code = await asyncio.gather(_feed(child.stdin, fed), child.stderr.read(), child.wait())
    finally:
        if child.returncode is None:
            child.kill()
    if code:
        raise OSError(f"{argv[0]}: {said.decode(errors='replace').strip()[-500:]}")


async def _steady(pieces: AsyncIterator[tuple[int, bytes]], patience: float) -> AsyncIterator[tuple[int, bytes]]:
    """The same; TimeoutError when the next one does not come in time."""
    while True:
        async with asyncio.timeout(patience):
            piece = await anext(pieces, None)
        if piece is None:
            return
        yield piece


async def _feed(into: asyncio.StreamWriter, pieces: AsyncIterator[tuple[int, bytes]] | None) -> None:
    """Until it has all, or has read enough."""
    try:
        if pieces is not None:
            async for _, data in pieces:
                into.write(data)
                await into.drain()
    except (BrokenPipeError, ConnectionResetError):
        _log.debug("ended before its input did")
    into.close()


def _layers(saved: Path) -> list[Path]:
    """The tars of a saved image's layers, lowest first."""
    manifest: list[dict[str, Any]] = json.loads((saved / "manifest.json").read_text())
    layers = [(saved / name).resolve() for name in manifest[0]["Layers"]]
    if not all(layer.is_relative_to(saved.resolve()) for layer in layers):
        raise OSError("a layer of the image lies outside of it")
    return layers


def _image(found: Mapping[str, Any], config: Mapping[str, Any]) -> Image:
    def names(key: str) -> tuple[str, ...]:
        return tuple(name for name in found.get(key) or () if "<none>" not in name)

    data = (found.get("GraphDriver") or {}).get("Data") or {}
    layers = ":".join(data[key] for key in ("UpperDir", "LowerDir") if data.get(key))
    return Image(
        found.get("Id") or found["ID"], names("RepoDigests"), config.get("User") or "",
        tuple(config.get("Entrypoint") or ()), int(found.get("Size") or 0), names("RepoTags"),
        tuple(filter(None, layers.split(":"))),
    )  # fmt: skip
