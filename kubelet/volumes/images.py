"""image: the files of an image, unpacked once on this node and shown to every pod that asks: read-only, and nothing in
there can be run.

https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/4639-oci-volume-source . A pod asks for its image
once, so a tag that moves is followed by new pods alone. What is unpacked stays as long as a pod's note speaks of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from kubelet.volumes import mounts, trees

Export = Callable[[str, Path], Awaitable[None]]
"""Unpacks the image of an id into an empty directory."""
_NOTES = "plugins/kubernetes.io~image"


class ImageVolumes:
    def __init__(self, root: Path, export: Export) -> None:
        self._unpacked, self._pods, self._export = root / "image-volumes", root / "pods", export
        self._lock = asyncio.Lock()

    async def show(self, uid: str, volume: str, image_id: str, directory: Path) -> None:
        """The image's files at `directory`. Failures are the export's, and OSError."""
        place = self._unpacked / image_id.replace(":", "-")
        note = self._pods / uid / _NOTES / volume
        async with self._lock:
            await asyncio.to_thread(_write, note, place.name)
            if not place.exists():
                fresh = self._unpacked / "new"
                await asyncio.to_thread(_empty, fresh)
                await self._export(image_id, fresh)
                fresh.rename(place)
            await asyncio.to_thread(_bind, place, directory)

    async def collect(self) -> None:
        """Away with what no pod's note speaks of."""
        async with self._lock:
            await asyncio.to_thread(self._collect)

    def _collect(self) -> None:
        if not self._unpacked.is_dir():
            return
        shown = {note.read_text() for note in self._pods.glob(f"*/{_NOTES}/*")}
        for place in self._unpacked.iterdir():
            if place.name not in shown:
                trees.remove(place)


def _write(note: Path, text: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(text)


def _empty(directory: Path) -> None:
    if directory.exists():
        trees.remove(directory)
    directory.mkdir(parents=True, mode=0o755)


def _bind(place: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if not mounts.is_inert(directory):
        mounts.unmount(directory)
        mounts.bind_inert(place, directory)
