"""Images that are volumes: unpacked once, beside whoever asks, and gone with the last pod that shows them. How they are
mounted is test_mounts.py's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from api.meta import Obj
from client.clock import FakeClock
from kubelet.docker.images import Image
from kubelet.docker.runtime import Unreachable
from kubelet.pods.facts import Facts
from kubelet.volumes import manager, mounts
from kubelet.volumes.manager import Volumes
from tests.unit.kubelet.pods import pod

VOLUME: Obj = {"name": "v", "image": {"reference": "a:1"}}


class Node:
    """Exports of images end when a test lets them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.asked, self.woken = root, 0, asyncio.Event()
        self.begun: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self.bound: list[Path] = []
        self.volumes = Volumes(Facts("n1", "192.0.2.1", root), cast(Any, self), FakeClock(), self._export)
        monkeypatch.setattr(manager, "_PATIENCE", 0.05)
        monkeypatch.setattr(mounts, "is_inert", lambda _: False)
        monkeypatch.setattr(mounts, "bind_inert", lambda _, directory: self.bound.append(directory))

    def forget_pod(self, _: str) -> None: ...

    async def _export(self, image_id: str, directory: Path) -> None:
        (directory / "file").touch()
        end = asyncio.get_running_loop().create_future()
        self.begun.put_nowait(end)
        await end

    async def show(self, uid: str, image_id: str) -> bool:
        async def image() -> Image:
            self.asked += 1
            return Image(image_id, ())

        wanted = pod(volumes=[VOLUME])
        wanted["metadata"]["uid"] = uid
        return await self.volumes.show_image(wanted, VOLUME, image, self.woken.set)

    @property
    def unpacked(self) -> list[str]:
        return sorted(path.name for path in (self.root / "image-volumes").iterdir())


async def test_a_long_export_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its pod nor another image, nor another pod's end."""
    node = Node(tmp_path, monkeypatch)
    for _ in range(2):
        assert not await node.show("u-1", "sha256:1")
    assert node.asked == 1, "a pod asks for its image once"
    first = await node.begun.get()
    assert not await node.show("u-2", "sha256:2")
    second = await node.begun.get()
    second.set_result(None)
    await asyncio.wait_for(node.woken.wait(), 5)
    assert await node.show("u-2", "sha256:2")
    assert [path.parts[-4] for path in node.bound] == ["u-2"]
    assert not await node.show("u-3", "sha256:1")
    assert node.begun.empty(), "it waits for the export that is under way"
    async with asyncio.timeout(5):
        await node.volumes.tear_down("u-2")
        assert node.unpacked == ["sha256-1.new"]
        await node.volumes.tear_down("u-1")
        again = await node.begun.get()
    assert first.cancelled(), "who waited for it does it himself"
    again.set_result(None)
    assert await node.show("u-3", "sha256:1") or await node.show("u-3", "sha256:1")
    assert node.unpacked == ["sha256-1"]
    await node.volumes.tear_down("u-3")
    assert node.unpacked == []


async def test_an_export_that_fails_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, monkeypatch)
    assert not await node.show("u-1", "sha256:1")
    (await node.begun.get()).set_exception(Unreachable("Docker sent nothing"))
    with pytest.raises(Unreachable):
        await node.show("u-1", "sha256:1")
    assert not await node.show("u-1", "sha256:1")
    assert node.asked == 2
    await node.volumes.tear_down("u-1")
    assert node.unpacked == []
