"""Learning that a directory has changed without looking at it: inotify, read on the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
# linux/inotify.h: closed after writing, moved out or in, made, deleted; the directory itself deleted or moved.
_CHANGES = 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
_LOST = 0x40 | 0x200
_EVENT = struct.Struct("iIII")  # watch, what, cookie, length of the name that follows, with zeros behind it
_BYTES = 64 * 1024


class Inotify:
    """`changed` is set whenever something in a watched directory has changed; `lost` are the names that were deleted
    or moved out, also those that are back by now: for whoever reads it to clear."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.lost: set[str] = set()
        self._descriptor = -1

    def watch(self, directory: Path) -> None:
        """May be done again. OSError when it is not there, or when the machine has no more to give
        (fs.inotify.max_user_instances)."""
        if self._descriptor < 0:
            self._descriptor = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)
        _checked(_LIBC.inotify_add_watch(self._descriptor, os.fsencode(directory), ctypes.c_uint32(_CHANGES)))

    def _readable(self) -> None:
        events, at = os.read(self._descriptor, _BYTES), 0
        while at < len(events):
            _, what, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size + length
            if what & _LOST:
                self.lost.add(os.fsdecode(events[at - length : at].rstrip(b"\0")))
        self.changed.set()

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)


def _checked(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
