"""Which images go when the disk is full, and what is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from client.clock import FakeClock, settle
from kubelet.configuration import Configuration
from kubelet.docker.images import Image
from kubelet.docker.runtime import Refused
from kubelet.images import collector, garbage
from kubelet.images.collector import Collector
from kubelet.images.garbage import Disk, Record
from tests.unit.kubelet.test_probes import Recorder

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def image(name: str, size: int = 10) -> Image:
    return Image(name, (f"r.io/{name}@sha256:0",), size=size)


@pytest.mark.parametrize(("disk", "excess"), [
    (Disk(100, 16), 0), (Disk(100, 15), 5), (Disk(100, 0), 20), (Disk(100, 200), 0),
])  # fmt: skip
def test_how_much_to_free(disk: Disk, excess: int) -> None:
    assert disk.excess(85, 80) == excess


def test_the_longest_unused_go_first() -> None:
    records = {
        "old": Record(NOW - 9 * HOUR, NOW - 8 * HOUR), "recent": Record(NOW - 9 * HOUR, NOW - HOUR),
        "used": Record(NOW - 9 * HOUR, NOW), "new": Record(NOW - timedelta(minutes=1)),
        "never": Record(NOW - 2 * HOUR), "loaded": Record(NOW - 9 * HOUR),
    }  # fmt: skip
    images = [*(image(name) for name in records if name != "loaded"), Image("loaded", (), tags=("app:1",))]
    going = garbage.removable(images, records, NOW, timedelta(minutes=2))
    assert [each.id for each in going] == ["never", "old", "recent"]
    assert [each.id for each in garbage.outdated(going, records, NOW, 2 * HOUR)] == ["never", "old"]


def test_records_follow_what_is_there() -> None:
    before = {"gone": Record(NOW), "known": Record(NOW - HOUR, NOW - HOUR)}
    after = garbage.observed(before, [image("known"), image("new"), image("used")], {"used"}, NOW, NOW + HOUR)
    assert after == {
        "known": Record(NOW - HOUR, NOW - HOUR), "new": Record(NOW), "used": Record(NOW, NOW + HOUR)
    }  # fmt: skip


@pytest.mark.parametrize(("size", "text"), [(512, "512.0 B"), (10 * 1024**3, "10.0 GiB"), (3 * 1024**4, "3.0 TiB")])
def test_sizes(size: int, text: str) -> None:
    assert garbage.binary_size(size) == text


@dataclass
class Docker:
    there: list[Image]
    used: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    """Which it does not let go."""

    async def all(self) -> list[Image]:
        return list(self.there)

    async def in_use(self) -> set[str]:
        return self.used

    async def disk(self) -> Path:
        return Path("/")

    async def remove(self, gone: Image) -> None:
        if gone.id in self.kept:
            raise Refused("conflict: it is in use")
        self.there.remove(gone)


class Case:
    """`percent` of a disk of 1000 bytes are in use besides images of 10 bytes each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, docker: Docker, percent: int, **configured: Any) -> None:
        self.docker, self.clock, self.recorder = docker, FakeClock(), Recorder()
        monkeypatch.setattr(collector, "_disk", lambda _: Disk(1000, 1000 - 10 * percent - 10 * len(docker.there)))
        nothing = cast(Any, self)
        self.collector = Collector(
            cast(Any, docker), nothing, nothing, cast(Any, self.recorder), {"metadata": {"name": "n1"}},
            Configuration(**configured), self.clock,
        )  # fmt: skip

    async def prune(self, images: list[str], listed_at: datetime) -> None:
        assert images

    def lose(self, image_id: str) -> None:
        assert image_id not in {each.id for each in self.docker.there}

    async def rounds(self, count: int) -> None:
        """The first at once, the others every five minutes."""
        task = asyncio.create_task(self.collector.run())
        for number in range(count):
            await self.clock.run_for(300 if number else 0)
            while not self.clock._timers:  # it looks at the disk from a thread
                await settle(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @property
    def left(self) -> set[str]:
        return {each.id for each in self.docker.there}


async def test_nothing_goes_below_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, Docker([image("a"), image("b")]), 82)
    await case.rounds(1)
    assert case.left == {"a", "b"}


async def test_as_many_go_as_must(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, Docker([image(name) for name in "abcdefgh"], used={"a"}, kept={"b"}), 78)
    await case.rounds(1)
    assert case.left == {"a", "b"}
    assert case.recorder.messages == []


async def test_a_disk_that_others_fill_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, Docker([image("a"), image("b")], used={"a"}), 90)
    await case.rounds(2)
    text = (
        "Insufficient free disk space on the node's image filesystem ({}% of 1000.0 B used). Failed to free sufficient "
        "space by deleting unused images (freed {} bytes). Investigate disk usage, as it could be used by active images, "
        "logs, volumes, or other data."
    )
    assert case.left == {"a"}
    assert case.recorder.messages == [
        f"FreeDiskSpaceFailed {text.format(92, 10)}",
        f"FreeDiskSpaceFailed {text.format(91, 0)}",
        f"ImageGCFailed {text.format(91, 0)}",
    ]


async def test_the_old_go_whatever_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """imageMaximumGCAge counts from the kubelet's start: what was before nobody knows."""
    case = Case(monkeypatch, Docker([image("a"), image("b")], used={"a"}), 10, image_most_age=500.0)
    await case.rounds(2)
    assert case.left == {"a", "b"}
    case = Case(monkeypatch, case.docker, 10, image_most_age=500.0)
    await case.rounds(3)
    assert case.left == {"a"}


async def test_eviction_frees_all_that_is_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, Docker([image("a"), image("b"), image("c")], used={"a"}), 10)
    assert await case.collector.free() == 20
    assert case.left == {"a"}
