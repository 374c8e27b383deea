"""What the kubelet mounts, and that no more is removed than it should."""

from __future__ import annotations

import asyncio
import errno
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from client.clock import FakeClock
from client.mountinfo import is_mounted, points_below
from kubelet.docker.images import Image
from kubelet.pods.facts import Facts
from kubelet.volumes import images, manager, mounts, sub_path
from kubelet.volumes.manager import Volumes
from kubelet.volumes.threads import Threads
from tests.harness.mounting import own_mounts
from tests.unit.kubelet.pods import pod

NAMES = ["plain", "with space", "back\\slash", "tab\tline\nreturn\r", "wörter", "空", "no\udcffutf"]


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@own_mounts
def test_what_is_mounted_below_is_found_by_any_name(tmp_path: Path, name: str) -> None:
    """And a pod's directory is removed without what was mounted there."""
    machine, pod = tmp_path / "machine", tmp_path / name / "pod"
    for directory in (machine, pod / name):
        directory.mkdir(parents=True)
    (machine / "kept").touch()
    (pod / "file").touch()
    for _ in range(2):
        mount("--bind", machine, pod / name)
    mount("--bind", machine / "kept", pod / "file")
    (tmp_path / f"{name}-beside").mkdir()
    mount("--bind", machine, tmp_path / f"{name}-beside")
    manager._remove("u-1", pod)
    assert not pod.exists() and (machine / "kept").exists()
    assert points_below(tmp_path) == [str(tmp_path / f"{name}-beside")]


@own_mounts
def test_a_mount_goes_with_the_one_that_it_is_upon(tmp_path: Path) -> None:
    mount("-t", "tmpfs", "tmpfs", tmp_path)
    (tmp_path / "a").mkdir()
    mount("-t", "tmpfs", "tmpfs", tmp_path / "a")
    mount("-t", "tmpfs", "tmpfs", tmp_path)
    mounts.unmount_below(tmp_path)
    assert points_below(tmp_path) == []


@own_mounts
def test_nothing_is_removed_while_something_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Source: pkg/util/removeall RemoveAllOneFilesystem."""
    machine, pod = tmp_path / "machine", tmp_path / "pod"
    for directory in (machine, pod / "volume"):
        directory.mkdir(parents=True)
    (machine / "kept").touch()
    (pod / "own").touch()
    mount("--bind", machine, pod / "volume")

    monkeypatch.setattr(mounts, "_call", lambda *_: None)
    with pytest.raises(OSError, match="something is still mounted") as raised:
        manager._remove("u-1", pod)
    assert raised.value.errno == errno.EBUSY
    assert (machine / "kept").exists() and (pod / "own").exists()


def mounted(path: Path) -> int:
    """How many mounts there are right there."""
    return points_below(path).count(str(path))


@own_mounts
def test_what_is_mounted_is_told_from_what_is_not(tmp_path: Path) -> None:
    for directory in ("bound", "fresh", "plain", "source"):
        (tmp_path / directory).mkdir()
    for file in ("file", "bound-file"):
        (tmp_path / file).touch()
    (tmp_path / "link").symlink_to("bound")
    mount("--bind", tmp_path / "source", tmp_path / "bound")
    mount("--bind", tmp_path / "file", tmp_path / "bound-file")
    mount("-t", "tmpfs", "tmpfs", tmp_path / "fresh")
    found = [path.name for path in sorted(tmp_path.iterdir()) if is_mounted(path)]
    assert found == ["bound", "bound-file", "fresh"]
    assert not is_mounted(tmp_path / "none") and not is_mounted(tmp_path / "none/none")
    assert not is_mounted(tmp_path / "file/none")


@own_mounts
def test_a_sub_path_is_mounted_once_however_often_its_container_starts(tmp_path: Path) -> None:
    """On a machine where mounts are shared, as systemd has them, another upon it would appear in the volume, too:
    nothing could be removed there any more."""
    mount("-t", "tmpfs", "tmpfs", tmp_path)
    mount("--make-shared", tmp_path)
    volume, target = tmp_path / "volume", tmp_path / "pod/volume-subpaths/0"
    volume.mkdir()
    (volume / "x").touch()
    for is_directory in (False, True, False):
        for _ in range(3):
            sub_path.bind(volume, "x", target)
            assert mounted(target) == 1 and target.is_dir() == is_directory
            assert not is_mounted(volume / "x")
        if is_directory:
            (volume / "x").rmdir()
            (volume / "x").touch()
        else:
            (volume / "x").unlink()
            (volume / "x").mkdir()
    for _ in range(2):  # as an earlier kubelet may have left it
        mount("--bind", volume, target.parent)
    mounts.unmount(target.parent)
    assert not is_mounted(target.parent)


@own_mounts
def test_an_image_is_shown_once_and_never_to_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "OWN", Threads(1, "of the child"))

    async def export(_: str, directory: Path) -> None:
        (directory / "file").write_text("of the image")

    shown = tmp_path / "pods/u-1/volumes/kubernetes.io~image/v"
    volumes = Volumes(Facts("n1", "192.0.2.1", tmp_path), cast(Any, None), FakeClock(), export)
    volume = {"name": "v", "image": {"reference": "a:1"}}
    wanted = pod(volumes=[volume])
    container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}

    async def image() -> Image:
        return Image("sha256:1", ())

    def show() -> None:
        assert asyncio.run(volumes.show_image(wanted, volume, image, lambda: None))

    for _ in range(2):
        show()
        assert volumes.missing_images(wanted, container) == [] and mounted(shown) == 1
    assert (shown / "file").read_text() == "of the image"
    mounts.unmount(shown)
    mount("--bind", tmp_path / "image-volumes/sha256-1", shown)  # where a kubelet died in between
    assert volumes.missing_images(wanted, container) == [volume]
    show()
    assert mounted(shown) == 1
    with pytest.raises(OSError, match="Read-only"):
        (shown / "file").write_text("of the pod")
