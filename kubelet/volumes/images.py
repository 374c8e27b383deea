"""image: the files of an image, unpacked once on this node and shown to every pod that asks: read-only, and nothing in
there can be run.

https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4639-oci-volume-source . A pod asks for its image
once, so a tag that moves is followed by new pods alone. What is unpacked stays as long as a pod's note speaks of it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

from client import trees
from kubelet.volumes import mounts
from kubelet.volumes.threads import OWN

Export = Callable[[str, Path], Awaitable[None]]
"""Unpacks the image of an id into an empty directory."""
_NOTES = "plugins/kubernetes.io~image"
_UNFINISHED = ".new"


class ImageVolumes:
    def __init__(self, root: Path, export: Export) -> None:
        self._unpacked, self._pods, self._export = root / "image-volumes", root / "pods", export
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By name of what is unpacked."""

    async def show(self, uid: str, volume: str, image_id: str, directory: Path) -> None:
        """The image's files at `directory`. Failures are the export's, and OSError."""
        name = image_id.replace(":", "-")
        place, work = self._unpacked / name, self._unpacked / f"{name}{_UNFINISHED}"
        async with self._locks[name]:
            await asyncio.to_thread(_write, self._pods / uid / _NOTES / volume, name)
            if not place.exists():
                await OWN.run(_empty, work)
                (work / "files").mkdir(mode=0o755)
                await self._export(image_id, work / "files")
                (work / "files").rename(place)
                await OWN.run(trees.remove, work)
            await asyncio.to_thread(_bind, place, directory)

    def are_wanted_by(self, uid: str) -> bool:
        return (self._pods / uid / _NOTES).exists()

    async def collect(self) -> None:
        """Away with what no pod's note speaks of, nor anybody is about to show."""
        for place in self._unpacked.iterdir() if self._unpacked.is_dir() else ():
            name = place.name.removesuffix(_UNFINISHED)
            if not self._locks[name].locked():
                async with self._locks[name]:
                    await OWN.run(self._collect, name, place)

    def _collect(self, name: str, place: Path) -> None:
        shown = {note.read_text() for note in self._pods.glob(f"*/{_NOTES}/*")}
        if name not in shown and place.exists():
            trees.remove(place)


def _write(note: Path, text: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(text)


def _empty(directory: Path) -> None:
    if directory.exists():
        trees.remove(directory)
    directory.mkdir(parents=True)


def _bind(place: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if not mounts.is_inert(directory):
        mounts.unmount(directory)
        mounts.bind_inert(place, directory)
