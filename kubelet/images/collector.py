"""Keeps images from filling the disk: looks every five minutes, removes what garbage.py chooses.

    freed = await collector.free()      # what eviction asks for first: every unused image, now

Rules and texts: pkg/kubelet/images/image_gc_manager.go, kubelet.go StartGarbageCollection.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from api.meta import Obj
from client import log
from client.clock import Clock
from client.events import EventRecorder
from kubelet.configuration import Configuration
from kubelet.docker.images import DockerImages, Image
from kubelet.docker.runtime import RuntimeFailure
from kubelet.images import garbage
from kubelet.images.garbage import Disk, Records
from kubelet.images.puller import Images
from kubelet.images.pulls import Pulls

_log = log.get("images")
_PERIOD_SECONDS = 300.0


class CollectionFailed(Exception):
    pass


class Collector:
    def __init__(
        self,
        docker: DockerImages,
        images: Images,
        pulls: Pulls,
        recorder: EventRecorder,
        node: Obj,
        configuration: Configuration,
        clock: Clock,
    ) -> None:
        """`node` is what events are about."""
        self._docker, self._images, self._pulls, self._clock = docker, images, pulls, clock
        self._recorder, self._node, self._configuration = recorder, node, configuration
        self._began = clock.now()
        self._records: Records = {}
        self._first = garbage.LONG_AGO  # what is there from the start may be of any age
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Until cancelled, or at once when there is nothing to watch for."""
        if self._configuration.image_gc_high_percent == 100 and not self._configuration.image_most_age:
            return
        failed = False
        while True:
            try:
                async with self._busy:
                    await self._collect()
                failed = False
            except (CollectionFailed, RuntimeFailure, OSError) as error:
                _log.warning("images not collected", why=str(error))
                if failed:
                    self._warn("ImageGCFailed", str(error))
                failed = True
            await self._clock.sleep(_PERIOD_SECONDS)

    async def free(self) -> int:
        """Bytes freed; images share layers, so that the disk may gain less. RuntimeFailure when Docker is away."""
        async with self._busy:
            return await self._remove(await self._look())

    async def _look(self) -> list[Image]:
        """All images that may go, in order."""
        now, images = self._clock.now(), await self._docker.all()
        self._records = garbage.observed(self._records, images, await self._docker.in_use(), self._first, now)
        self._first = now
        await self._pulls.prune([image.id for image in images], now)
        least = timedelta(seconds=self._configuration.image_least_age)
        return garbage.removable(images, self._records, now, least)

    async def _collect(self) -> None:
        images, asked = await self._look(), self._configuration
        most_age, now = timedelta(seconds=asked.image_most_age), self._clock.now()
        if most_age and now - self._began > most_age:
            old = garbage.outdated(images, self._records, now, most_age)
            await self._remove(old)
            images = [image for image in images if image not in old]
        disk = await asyncio.to_thread(_disk, await self._docker.disk())
        if disk.capacity == 0:
            self._warn("InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
            raise CollectionFailed("invalid capacity 0 on image filesystem")
        excess = disk.excess(asked.image_gc_high_percent, asked.image_gc_low_percent)
        if excess <= 0:
            return
        _log.info("the disk of images is too full", percent=disk.percent, to_free=excess)
        freed = await self._remove(images, excess)
        if freed < excess:
            used = f"{disk.percent}% of {garbage.binary_size(disk.capacity)} used"
            text = (
                f"Insufficient free disk space on the node's image filesystem ({used}). Failed to free sufficient "
                f"space by deleting unused images (freed {freed} bytes). Investigate disk usage, as it could be used "
                "by active images, logs, volumes, or other data."
            )
            self._warn("FreeDiskSpaceFailed", text)
            raise CollectionFailed(text)

    async def _remove(self, images: Iterable[Image], enough: float = float("inf")) -> int:
        """One after the other until so many bytes are freed. One that Docker keeps stops nothing."""
        freed = 0
        for image in images:
            if freed >= enough:
                break
            try:
                await self._docker.remove(image)
            except RuntimeFailure as error:
                _log.warning("image not removed", image=image.id, why=str(error))
                continue
            _log.info("image removed", image=image.id, names=[*image.tags, *image.digests], bytes=image.size)
            self._images.lose(image.id)
            self._records.pop(image.id, None)
            freed += image.size
        return freed

    def _warn(self, reason: str, text: str) -> None:
        self._recorder.event(self._node, "Warning", reason, text)


def _disk(path: Path) -> Disk:
    found = shutil.disk_usage(path)
    return Disk(found.total, found.free)
