"""Back-off and the identity of processes; the living supervisor is tested end to end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.processes import Process, read_pid_file, resident, this_process, uptime, write_pid_file
from deploy.supervisor import FIRST_DELAY, LAST_DELAY, STEADY_AFTER, back_off, rotate, version


def test_back_off_grows_from_a_tenth_of_a_second_to_ten() -> None:
    delay, delays = 0.0, []
    for _ in range(9):
        delay = back_off(delay, ran=0.2)
        delays.append(delay)
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert delays[0] == FIRST_DELAY and delays[-1] == LAST_DELAY


def test_back_off_begins_anew_after_a_steady_minute() -> None:
    assert back_off(LAST_DELAY, ran=STEADY_AFTER) == FIRST_DELAY
    assert back_off(LAST_DELAY, ran=STEADY_AFTER - 1) == LAST_DELAY


def test_a_pid_file_brings_back_the_living_process(tmp_path: Path) -> None:
    me = this_process("digest")
    write_pid_file(tmp_path / "x.pid", me)
    assert read_pid_file(tmp_path / "x.pid") == me
    assert [file.name for file in tmp_path.iterdir()] == ["x.pid"]


@pytest.mark.parametrize(
    "changed",
    [{"started": 1}, {"boot": "00000000-0000-0000-0000-000000000000"}, {"pid": 2**22 + 1}],
    ids=["reused pid", "before a reboot", "gone"],
)
def test_another_process_with_that_pid_is_not_ours(tmp_path: Path, changed: dict[str, int | str]) -> None:
    other = this_process()
    for name, value in changed.items():
        setattr(other, name, value)
    write_pid_file(tmp_path / "x.pid", other)
    assert read_pid_file(tmp_path / "x.pid") is None


@pytest.mark.parametrize("text", ["", "12", "x y z"])
def test_a_torn_pid_file_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.pid").write_text(text)
    assert read_pid_file(tmp_path / "x.pid") is None


def test_a_process_tells_its_age_and_size() -> None:
    me = this_process()
    assert me.pid == os.getpid() and me.alive
    assert uptime(me) >= 0
    assert resident(me) > 1024**2
    assert resident(Process(2**22 + 1, 0, "")) == 0


def test_a_long_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.supervisor.LOG_LIMIT", 10)
    log = tmp_path / "etcd.log"
    log.write_text("short")
    rotate(log)
    assert log.read_text() == "short"
    log.write_text("longer than ten bytes")
    rotate(log)
    assert (log.read_text(), (tmp_path / "etcd.log.1").read_text()) == ("", "longer than ten bytes")
    rotate(tmp_path / "never-written.log")


def test_the_version_is_stable() -> None:
    assert version() == version() != ""
