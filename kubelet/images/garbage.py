"""Which images to remove, in which order. Pure.

What is in use stays, and so does what no registry could give back: images that were made or loaded here (upstream's
runtimes call such ones pinned). Of the rest the longest unused goes first.

Rules: pkg/kubelet/images/image_gc_manager.go; https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kubelet.docker.images import Image

LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Record:
    first_seen: datetime
    last_used: datetime = LONG_AGO


Records = dict[str, Record]  # by image id


def observed(
    records: Records, images: Iterable[Image], in_use: Collection[str], first: datetime, now: datetime
) -> Records:
    """The records after a look; `first` is when an image counts as first seen that is seen now."""
    result = {}
    for image in images:
        before = records.get(image.id) or Record(first)
        result[image.id] = Record(before.first_seen, now if image.id in in_use else before.last_used)
    return result


def removable(images: Iterable[Image], records: Records, now: datetime, least_age: timedelta) -> list[Image]:
    """Right after a look at `now`. What is younger than `least_age` may be waited for."""
    found = [
        image
        for image in images
        if image.digests and records[image.id].last_used < now and now - records[image.id].first_seen >= least_age
    ]
    return sorted(found, key=lambda image: (records[image.id].last_used, records[image.id].first_seen))


def outdated(images: Iterable[Image], records: Records, now: datetime, most_age: timedelta) -> list[Image]:
    """Of removable ones, those unused for longer than `most_age`."""
    return [image for image in images if now - records[image.id].last_used > most_age]


@dataclass(frozen=True, slots=True)
class Disk:
    capacity: int
    available: int

    @property
    def percent(self) -> int:
        return 100 - min(self.available, self.capacity) * 100 // self.capacity

    def excess(self, high: int, low: int) -> int:
        """Bytes to free: down to `low` percent in use, once `high` percent are."""
        if self.percent < high:
            return 0
        return self.capacity * (100 - low) // 100 - min(self.available, self.capacity)


def binary_size(size: float) -> str:
    """`10.0 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
