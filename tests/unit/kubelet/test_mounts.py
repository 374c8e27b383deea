"""What the kubelet mounts, and that no more is removed than it should."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from kubelet.volumes import manager, mounts
from tests.unit.kubelet.mounting import own_mounts

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
    assert mounts._points_below(tmp_path) == [str(tmp_path / f"{name}-beside")]


@own_mounts
def test_a_mount_goes_with_the_one_that_it_is_upon(tmp_path: Path) -> None:
    mount("-t", "tmpfs", "tmpfs", tmp_path)
    (tmp_path / "a").mkdir()
    mount("-t", "tmpfs", "tmpfs", tmp_path / "a")
    mount("-t", "tmpfs", "tmpfs", tmp_path)
    mounts.unmount_below(tmp_path)
    assert mounts._points_below(tmp_path) == []


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
