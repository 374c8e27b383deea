"""Processes of a container that Docker does not know of.

A daemon that is killed between asking containerd for a process and noting that it has one forgets it. Without
live-restore the next daemon ends whatever it does not know; with it, the process would go on without anybody, and its
shim with it. The kernel still knows whose they are: the control group bears the container's id.

The shim goes, too: containerd clears away behind a shim that has died (runtime/v2/shim.go, cleanupAfterDeadShim).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

_PROC = Path("/proc")
_SHIM = b"containerd-shim"


def end(container_id: str, proc: Path = _PROC) -> int:
    """Kill them all; how many there were. `container_id` is the whole one: 64 digits."""
    killed = 0
    for pid in _of_container(container_id, proc):
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if _is_of(pid, container_id, proc):  # its number may have been another's when it was opened
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    killed += 1
            finally:
                os.close(descriptor)
    return killed


def _of_container(container_id: str, proc: Path) -> Iterator[int]:
    for directory in proc.glob("[0-9]*"):
        if _is_of(int(directory.name), container_id, proc):
            yield int(directory.name)


def _is_of(pid: int, container_id: str, proc: Path) -> bool:
    try:
        if container_id in (proc / str(pid) / "cgroup").read_text():
            return True
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    program, *arguments = words
    its_own = (b"-id", container_id.encode()) in pairwise(arguments)
    return its_own and os.path.basename(program).startswith(_SHIM)
