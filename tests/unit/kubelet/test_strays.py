"""Processes of a container that Docker does not know of, told by their control groups."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubelet.docker import strays

ID = "ab" * 32
SLEEP = "import time; time.sleep(60)"
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """A process that does nothing, under any name and with any further words."""
    made = []

    def run(program: str = "sleeper", *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([program, "-c", SLEEP, *words], executable=sys.executable)
        made.append(process)
        return process

    yield run
    for process in made:
        process.kill()
        process.wait()


def show(proc: Path, process: subprocess.Popen[bytes], group: str, *words: str) -> None:
    """As in /proc."""
    directory = proc / str(process.pid)
    directory.mkdir()
    (directory / "cgroup").write_text(f"4:memory:{group}\n")
    (directory / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))


@pytest.mark.parametrize("group", [f"/docker/{ID}", f"/sampan-podx/{ID}", f"/system.slice/docker-{ID}.scope"])
def test_all_of_a_container_end_and_no_others(start: Start, tmp_path: Path, group: str) -> None:
    its, other = start(), start()
    show(tmp_path, its, group, "sh")
    show(tmp_path, other, "/docker/" + "cd" * 32, "sh", ID)
    assert strays.end(ID, tmp_path) == 1
    assert its.wait(10) == -9 and other.poll() is None


def test_its_shim_ends_and_no_other(start: Start) -> None:
    shim = start("/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", ID)
    others = start("/usr/bin/containerd-shim-runc-v2", "-id", "cd" * 32), start("sh", "-id", ID)
    assert strays.end(ID) == 1
    assert shim.wait(10) == -9 and [other.poll() for other in others] == [None, None]


def test_nothing_is_left_of_most_containers(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert strays.end(ID, tmp_path) == 0
