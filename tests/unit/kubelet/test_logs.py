"""A container's log, read from files that Docker renames under the reader.

Sources: daemon/logger/jsonfilelog, daemon/logger/loggerutils/logfile.go; pkg/kubelet/kuberuntime/logs for what is told.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from api.errors import InternalError
from kubelet.logs import files, reading
from kubelet.logs.entries import Telling, Wanted
from kubelet.logs.files import LogFiles
from kubelet.pods.model import Container

KEPT = 3


class Writer:
    """Writes a container's log as Docker does, `KEPT` files at most. Lines are numbers."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "c-json.log"
        self.path.touch()
        self.said = 0

    def write(self, count: int = 1) -> None:
        with self.path.open("ab") as file:
            for _ in range(count):
                self.said += 1
                file.write(b"%d\n" % self.said)

    def put_aside(self, *, begin: bool = True) -> None:
        for number in range(KEPT - 1, 1, -1):
            newer = self._aside(number - 1)
            if newer.exists():
                newer.rename(self._aside(number))
        self.path.rename(self._aside(1))
        if begin:
            self.begin()

    def begin(self) -> None:
        self.path.write_bytes(b"")

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def kept(self) -> list[int]:
        found = [self._aside(number) for number in range(KEPT - 1, 0, -1)] + [self.path]
        return [int(line) for file in found if file.exists() for line in file.read_bytes().split()]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def everything(log: LogFiles) -> list[int]:
    found = []
    while lines := log.read():
        assert lines.endswith(b"\n")
        found += [int(line) for line in lines.split()]
    return found


@pytest.mark.parametrize("aside", [0, 1, 2, 5])
def test_all_that_is_kept_is_read_in_order(writer: Writer, aside: int) -> None:
    for _ in range(aside):
        writer.write(10)
        writer.put_aside()
    writer.write(10)
    log = LogFiles(writer.path, tail=None, follow=False)
    assert everything(log) == writer.kept() != []


ACTS = some.lists(some.sampled_from(["write", "write many", "put aside", "read"]), max_size=30)


@given(ACTS, some.none() | some.integers(0, 40), some.lists(some.sampled_from(["write", "put aside"]), max_size=8))
def test_who_follows_gets_each_line_once_and_leaves_out_only_what_was_deleted(
    acts: list[str], tail: int | None, before: list[str]
) -> None:
    with TemporaryDirectory() as directory:
        writer = Writer(Path(directory))
        for act in before:
            writer.write(5) if act == "write" else writer.put_aside()
        kept = writer.kept()
        log = LogFiles(writer.path, tail=tail, follow=True)
        heard: list[int] = []
        expected = set(kept if tail is None else kept[len(kept) - tail :] if tail < len(kept) else kept)
        unread, behind = writer.said, 0
        for act in ["read", *acts, "read"]:
            if act == "put aside":
                writer.put_aside()
                behind += 1
            elif act == "read":
                heard += everything(log)
                if behind <= KEPT:  # the file that was read is held open, those after it are there
                    expected |= set(range(unread + 1, writer.said + 1))
                else:
                    expected |= set(writer.kept()) & set(range(unread + 1, writer.said + 1))
                unread, behind = writer.said, 0
            else:
                writer.write(1 if act == "write" else 7)
        log.close()
        assert heard == sorted(set(heard)), "in order, none twice"
        assert expected <= set(heard)


@given(some.lists(some.integers(0, 30), min_size=1, max_size=5), some.integers(0, 100))
def test_the_last_lines_are_found_through_all_files(sizes: list[int], tail: int) -> None:
    with TemporaryDirectory() as directory:
        writer = Writer(Path(directory))
        for size in sizes:
            writer.put_aside()
            writer.write(size)
        kept = writer.kept()
        found = files.last(writer.path, tail).split()
    assert [int(line) for line in found] == kept[max(0, len(kept) - tail) :]


def test_lines_larger_than_a_piece_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [b"x" * 200_000 + b"\n", b"y\n", b"z" * 150_000 + b"\n"]
    path.write_bytes(b"".join(lines))
    log = LogFiles(path, tail=None, follow=True)
    found = b""
    while more := log.read():
        assert more.endswith(b"\n")
        found += more
    assert found == b"".join(lines)
    for tail in (1, 2):
        assert files.last(path, tail) == b"".join(lines[-tail:])


def test_a_line_that_is_being_written_is_read_when_it_is_whole(writer: Writer) -> None:
    log = LogFiles(writer.path, tail=None, follow=True)
    with writer.path.open("ab", buffering=0) as file:
        file.write(b"12")
        assert log.read() == b""
        file.write(b"3\n")
    assert log.read() == b"123\n"


def test_a_file_is_put_aside_and_the_next_is_not_there_yet(writer: Writer) -> None:
    writer.write()
    log = LogFiles(writer.path, tail=None, follow=True)
    assert everything(log) == [1]
    writer.write()
    writer.put_aside(begin=False)
    assert everything(log) == [2]
    late = LogFiles(writer.path, tail=None, follow=True)
    writer.begin()
    writer.write()
    assert (everything(log), everything(late)) == ([3], [1, 2, 3])


def test_who_does_not_follow_gets_what_there_was(writer: Writer) -> None:
    writer.write(3)
    log = LogFiles(writer.path, tail=None, follow=False)
    writer.write(3)
    writer.put_aside()
    writer.write(3)
    assert everything(log) == [1, 2, 3]


def entry(text: str, stream: str = "stdout", time: str = "2026-01-02T03:04:05.5Z") -> bytes:
    return json.dumps({"log": text, "stream": stream, "time": time}).encode() + b"\n"


WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted(), b"one\ntwo\n"),
        (Wanted(stderr=False), b"one\n"),
        (Wanted(stdout=False), b"two\n"),
        (Wanted(timestamps=True), b"2026-01-02T03:04:05.000000000Z one\n2026-01-02T03:04:05.123400000Z two\n"),
        (Wanted(since=WHEN), b"one\ntwo\n"),
        (Wanted(since=WHEN + timedelta(microseconds=123400)), b"two\n"),
        (Wanted(since=WHEN + timedelta(microseconds=123401)), b""),
        (Wanted(since=WHEN.astimezone(timezone(timedelta(hours=2)))), b"one\ntwo\n"),
    ],
)
def test_what_is_told_of_entries(wanted: Wanted, told: bytes) -> None:
    lines = entry("one\n", time="2026-01-02T03:04:05Z") + entry("two\n", "stderr", "2026-01-02T03:04:05.1234Z")
    assert Telling(wanted).tell(lines) == told


def test_a_long_line_has_one_time() -> None:
    """kuberuntime/logs/logs.go: the pieces of a line that follow are written without one."""
    telling = Telling(Wanted(timestamps=True))
    assert telling.tell(entry("begin, ")) == b"2026-01-02T03:04:05.500000000Z begin, "
    assert telling.tell(entry("!\n", "stderr")) == b"2026-01-02T03:04:05.500000000Z !\n"
    assert telling.tell(entry("end\n") + entry("next\n")) == b"end\n2026-01-02T03:04:05.500000000Z next\n"


def test_what_a_killed_engine_has_torn_is_left_out() -> None:
    torn = entry("lost\n")[:-9]
    assert Telling(Wanted()).tell(torn + entry("kept\n")) == b"kept\n"
    assert Telling(Wanted()).tell(torn + b"\n" + entry("kept\n")) == b"kept\n"
    assert Telling(Wanted()).tell(b"\0\0\0\n") == b""


RUNNING = Container("i" * 64, "u", "p", "d", "main", 0, "running")


async def told(container: Container, wanted: Wanted, exited: Callable[[], Coroutine[Any, Any, object]]) -> bytes:
    return b"".join([data async for data in reading.read(container, wanted, exited)])


async def at_once() -> None:
    pass


async def never() -> None:
    await asyncio.sleep(3600)


async def test_a_log_is_followed_to_what_was_said_last(writer: Writer) -> None:
    path = writer.path
    path.write_bytes(entry("first\n"))
    container = replace(RUNNING, log_path=str(path))

    def say(text: str) -> None:
        with path.open("ab") as file:
            file.write(entry(text))

    async def speak() -> None:
        await asyncio.sleep(0.15)
        say("more\n")
        await asyncio.sleep(0.15)
        writer.put_aside(begin=False)
        await asyncio.sleep(0.15)
        say("other file\n")
        await asyncio.sleep(0.15)
        say("last\n")

    assert await told(container, Wanted(follow=True), speak) == b"first\nmore\nother file\nlast\n"
    assert await told(container, Wanted(tail=1), never) == b"last\n"
    assert await told(container, Wanted(limit=8), never) == b"first\nmo"
    assert await told(container, Wanted(limit=8, tail=1, stdout=False), never) == b""


async def test_a_container_without_a_log_has_said_nothing(tmp_path: Path) -> None:
    assert await told(RUNNING, Wanted(follow=True), never) == b""
    assert await told(replace(RUNNING, log_path=str(tmp_path / "none")), Wanted(follow=True), at_once) == b""
    assert await reading.last_words(RUNNING, 1, 1) == ""


async def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    broken = replace(RUNNING, log_path=str(tmp_path / "log"))
    with pytest.raises(InternalError, match="cannot read the log of docker://iiii"):
        await told(broken, Wanted(), never)
    assert await reading.last_words(broken, 1, 1) == ""


async def test_the_last_words_are_few(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(entry(f"line {n}\n") for n in range(100)))
    container = replace(RUNNING, log_path=str(path))
    assert await reading.last_words(container, 2, 100) == "line 98\nline 99\n"
    assert await reading.last_words(container, 80, 5) == "e 99\n"


async def test_no_file_is_left_open_by_who_goes(writer: Writer) -> None:
    writer.path.write_bytes(entry("first\n"))
    before = os.listdir("/proc/self/fd")
    tasks = len(asyncio.all_tasks())

    telling = reading.read(replace(RUNNING, log_path=str(writer.path)), Wanted(follow=True), never)
    assert await anext(telling) == b"first\n"
    waiting = asyncio.create_task(anext(telling))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await telling.aclose()
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert len(asyncio.all_tasks()) == tasks
