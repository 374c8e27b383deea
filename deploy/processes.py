"""Knowing a process again: pid files that also hold its start time and the boot, so that a reused pid is never
taken for ours. Standard library only, and little of it: the supervisor lives on this, and dataclasses or typing would
cost it a tenth of its memory each."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path


class Process:
    """One process, for good. `digest` tells which version of its description it was started from."""

    __slots__ = ("boot", "digest", "pid", "started")

    def __init__(self, pid: int, started: int, boot: str, digest: str = "") -> None:
        self.pid, self.started, self.boot, self.digest = pid, started, boot, digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Process) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def alive(self) -> bool:
        """It exists and is not a zombie that nobody has reaped yet."""
        stat = _stat(self.pid)
        return stat is not None and stat == ("running", self.started) and self.boot == boot_id()

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.boot} {self.digest}\n"


def this_process(digest: str = "") -> Process:
    pid = os.getpid()
    stat = _stat(pid)
    if stat is None:
        raise OSError("/proc is not mounted")
    return Process(pid, stat[1], boot_id(), digest)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def started_at(pid: int) -> int | None:
    """Its start time in clock ticks since boot, None when there is no such process."""
    stat = _stat(pid)
    return None if stat is None else stat[1]


def find(pid: int) -> Process | None:
    """The process that has this pid now."""
    started = started_at(pid)
    return None if started is None else Process(pid, started, boot_id())


def read_pid_file(path: Path) -> Process | None:
    """The process it names if that is alive, else None."""
    try:
        pid, started, boot, *rest = path.read_text().split()
        process = Process(int(pid), int(started), boot, rest[0] if rest else "")
    except (FileNotFoundError, ValueError):
        return None
    return process if process.alive else None


def write_pid_file(path: Path, process: Process) -> None:
    temporary = path.with_name(f".{path.name}.{process.pid}")
    temporary.write_text(str(process))
    os.replace(temporary, path)


def uptime(process: Process) -> float:
    """Seconds since it started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - process.started / os.sysconf("SC_CLK_TCK")


def resident(process: Process) -> int:
    """Bytes of memory it occupies."""
    try:
        return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def stop(process: Process, grace: float = 15.0) -> bool:
    """Ends it, asking first. True when it had to be killed. Returns when it is gone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not process.alive:
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        if ended(descriptor, grace):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        ended(descriptor, 10)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def ended(descriptor: int, timeout: float) -> bool:
    """Waits until the process of a pidfd has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and parentheses: count fields from the last parenthesis.
    fields = text[text.rindex(")") + 2 :].split()
    return "ended" if fields[0] in "ZX" else "running", int(fields[19])
