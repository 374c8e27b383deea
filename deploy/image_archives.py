"""What `sampan image load` can put onto nodes: archives of `docker save`, and images of this machine's own Docker."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploy.docker_api import Engine
from deploy.errors import Failure

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    images: Mapping[str, str]
    """Name → id of those that are in it."""
    pieces: Callable[[], Iterator[bytes]]
    """Its bytes, anew each time."""


def source(given: str, engine: Engine) -> Source:
    """A file when there is one of that name, else an image."""
    path = Path(given)
    if path.is_file():
        return Source(path.name, _in_archive(path), lambda: _read(path))
    identity = engine.image_id(given) if engine.answers() else ""
    if not identity:
        raise Failure(
            f"there is no file {given}, and no such image in this machine's Docker",
            "give the name of one (docker images), or a file that docker save wrote",
        )
    return Source(given, {tagged(given): identity}, lambda: engine.save(given))


def tagged(name: str) -> str:
    """As Docker lists it."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def _in_archive(path: Path) -> dict[str, str]:
    """An image's id is the digest of its configuration, and so its file's name (`docker save`, OCI layout)."""
    found: dict[str, str] = {}
    try:
        with tarfile.open(path) as tar:
            member = tar.extractfile("manifest.json")
            for image in json.load(member) if member is not None else ():
                identity = f"sha256:{PurePosixPath(image['Config']).name.removesuffix('.json')}"
                found.update(dict.fromkeys(image.get("RepoTags") or [identity], identity))
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise Failure(f"{path} is no archive of images", "make one: docker save -o FILE IMAGE") from error
    if not found:
        raise Failure(f"{path} is no archive of images: it holds none", "make one: docker save -o FILE IMAGE")
    return found


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
