"""Tells when the kernel killed a process because the whole machine was out of memory, not just a control group.

What the kernel says of it is read as it comes from /dev/kmsg; nothing is polled. A machine that does not show us its
kernel's log tells nothing. Source: pkg/kubelet/oom/oom_watcher_linux.go, cadvisor utils/oomparser.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from api.meta import Obj
from client import log
from client.events import EventRecorder

_log = log.get("oom")
KERNEL_LOG = Path("/dev/kmsg")
_RECORD_BYTES = 8192
_KILLED = re.compile(r"oom-kill:constraint=\w+,.*global_oom,.*task=(?P<process>.+),pid=(?P<pid>\d+),uid=\d+")


def victim(record: str) -> tuple[str, int] | None:
    """Name and pid of what was killed for the whole machine's sake, if that is what the record tells."""
    found = _KILLED.search(record)
    return None if found is None else (found["process"], int(found["pid"]))


class KernelLog:
    def __init__(self, recorder: EventRecorder, node: Obj, path: Path = KERNEL_LOG) -> None:
        self._recorder, self._node, self._path = recorder, node, path

    async def run(self) -> None:
        """Until cancelled; at once where there is nothing to read."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            _log.info("the kernel's log cannot be read", why=error.strerror)
            return
        loop = asyncio.get_running_loop()
        try:
            os.lseek(descriptor, 0, os.SEEK_END)
            loop.add_reader(descriptor, self._read, descriptor)
            await loop.create_future()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    def _read(self, descriptor: int) -> None:
        """One record, as each read gives."""
        try:
            record = os.read(descriptor, _RECORD_BYTES)
        except BlockingIOError:
            return
        except BrokenPipeError:  # some were overwritten before we came to read them
            return
        killed = victim(record.decode(errors="replace"))
        if killed is not None:
            text = f"System OOM encountered, victim process: {killed[0]}, pid: {killed[1]}"
            self._recorder.event(self._node, "Warning", "SystemOOM", text)
