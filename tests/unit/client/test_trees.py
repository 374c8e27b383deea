"""Trees that containers have made as deep as they like, and change while they are looked at."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import trees
from kubelet.volumes import ownership
from kubelet.volumes.usage import usage
from tests.harness.mounting import own_mounts

DEEP = 1500
"""More than Python calls functions in one another, and than a process has files open."""


def dig(directory: Path, name: str, depth: int) -> None:
    """Directories in one another, with a file in the last."""
    directory.mkdir()
    here = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here))
    os.close(here)


@pytest.fixture(params=[("d", DEEP), ("n" * 250, 40)], ids=["many levels", "longer than a path may be"])
def deep(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, int]]:
    name, depth = request.param
    dig(tmp_path / "deep", name, depth)
    yield tmp_path / "deep", depth
    subprocess.run(["rm", "-rf", tmp_path / "deep"], check=True)  # pytest's own cleaning may fail at it


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_tree_of_any_depth_is_counted(deep: tuple[Path, int]) -> None:
    top, depth = deep
    before = opened()
    assert usage(top).inodes == depth + 2
    assert opened() == before


def test_a_tree_of_any_depth_is_given(deep: tuple[Path, int]) -> None:
    top, depth = deep
    ownership.give(top, os.getgid())
    modes = [os.stat(name, dir_fd=parent).st_mode for parent, name, _ in trees.walk(top)]
    assert len(modes) == depth + 1
    assert {stat.S_IMODE(mode) & 0o660 for mode in modes} == {0o660}


def test_a_tree_of_any_depth_is_removed(deep: tuple[Path, int]) -> None:
    top, _ = deep
    trees.remove(top)
    assert not top.exists()


def test_few_directories_are_open_at_a_time(tmp_path: Path) -> None:
    dig(tmp_path / "deep", "d", DEEP)
    before = opened()
    assert max(opened() for _ in trees.walk(tmp_path / "deep")) - before < 50
    trees.remove(tmp_path / "deep")


def test_a_directory_comes_after_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "v/a/b").mkdir(parents=True)
    (tmp_path / "v/a/b/f").touch()
    (tmp_path / "v/a/link").symlink_to("/")
    found = [(name, is_directory) for _, name, is_directory in trees.walk(tmp_path / "v")]
    assert found == [("link", False), ("f", False), ("b", True), ("a", True)]


def test_removal_takes_links_and_not_what_they_lead_to(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    (volume / "d").mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").touch()
    (volume / "d/link").symlink_to(outside)
    trees.remove(volume)
    assert not volume.exists() and (outside / "kept").exists()
    (tmp_path / "top").symlink_to(outside)
    for gone in ("top", "outside/kept", "none"):
        with pytest.raises((NotADirectoryError, FileNotFoundError)):
            trees.remove(tmp_path / gone)
    assert (outside / "kept").exists()


def test_a_directory_swapped_for_a_link_is_not_entered(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    for directory in (volume / "one", volume / "two", outside):
        directory.mkdir(parents=True)
    (outside / "kept").touch()
    (volume / "file").touch()
    walk, found = trees.walk(volume), []
    for _, name, is_directory in walk:
        found.append((name, is_directory))
        if name == "file":
            for directory in (volume / "one", volume / "two"):
                directory.rmdir()
                directory.symlink_to(outside)
    assert sorted(found) == [("file", False), ("one", False), ("two", False)]


def test_a_directory_that_was_moved_away_leads_nowhere_else(tmp_path: Path) -> None:
    """Deep down, the way back to directories that were closed meanwhile is `..`: it must not lead into another tree."""
    top, elsewhere = tmp_path / "v", tmp_path / "elsewhere"
    dig(top, "d", 100)
    elsewhere.mkdir()
    (elsewhere / "kept").touch()

    def moved() -> None:
        (top / "/".join(["d"] * 50)).rename(elsewhere / "d")

    walk = trees.walk(top)
    next(walk)
    moved()
    with pytest.raises(OSError, match="moved while it was walked") as raised:
        list(walk)
    assert raised.value.errno == errno.ESTALE
    (elsewhere / "d").rename(top / "/".join(["d"] * 50))
    missed: list[OSError] = []
    walk = trees.walk(top, missed=missed.append)
    next(walk)
    moved()
    names = [os.readlink(f"/proc/self/fd/{parent}") for parent, _, _ in walk]
    assert len(missed) == 1 and str(elsewhere) not in names


@own_mounts
def test_removal_stops_at_what_is_mounted(tmp_path: Path) -> None:
    """Also where that is of the same file system."""
    pod, machine = tmp_path / "pod", tmp_path / "machine"
    (pod / "volume/sub").mkdir(parents=True)
    machine.mkdir()
    (machine / "kept").touch()
    for target in (pod / "volume/sub", pod):
        subprocess.run(["mount", "--bind", machine, target], check=True)
        with pytest.raises(OSError) as raised:
            trees.remove(pod)
        assert raised.value.errno == errno.EBUSY
        assert (machine / "kept").exists()
