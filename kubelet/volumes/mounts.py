"""Mounts of the kubelet's own, by the system call: no program is run for them.

Linux 5.12 brought mount_setattr(2), which alone changes a tree of mounts at once; glibc has no name for it yet.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path

from client.mountinfo import is_mounted, points_below

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC = 1, 2, 4, 8, 32, 4096, 16384
_MNT_DETACH = 2
_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_ATTR_RDONLY, _PRIVATE = 1, 1 << 18
_libc = ctypes.CDLL(None, use_errno=True)
_swapless: list[bool] = []


def _call(path: Path | str, function: str, *arguments: bytes | int | None) -> None:
    if getattr(_libc, function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))


def mount_tmpfs(directory: Path, size: int = 0) -> None:
    """Quiet when it is mounted already. Not swapped out where the kernel can promise that (6.4). OSError when the
    machine refuses."""
    if is_mounted(directory):
        return
    options = f"size={size},mode=0777" if size else "mode=0777"
    for extra in (",noswap", "") if not _swapless else (",noswap" if _swapless[0] else "",):
        try:
            flags = _NOSUID | _NODEV
            _call(directory, "mount", b"tmpfs", os.fsencode(directory), b"tmpfs", flags, (options + extra).encode())
        except OSError as error:
            if not extra or error.errno != errno.EINVAL:
                raise
        else:
            _swapless[:] = [bool(extra)]
            return


def unmount(target: Path) -> None:
    """All that is mounted there, one upon the other. Quiet when nothing is."""
    while is_mounted(target):
        _call(target, "umount2", os.fsencode(target), _MNT_DETACH)


def bind(descriptor: int, target: Path) -> None:
    """What is open there, with all that is mounted below it, appears at `target`, too."""
    source = f"/proc/self/fd/{descriptor}".encode()
    _call(target, "mount", source, os.fsencode(target), None, _BIND | _REC, None)


def bind_inert(source: Path, target: Path) -> None:
    """`source` at `target`, with nothing to be written, run or opened as a device."""
    _call(target, "mount", os.fsencode(source), os.fsencode(target), None, _BIND, None)
    flags = _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV | _NOEXEC
    _call(target, "mount", None, os.fsencode(target), None, flags, None)


def is_inert(target: Path) -> bool:
    """`bind_inert` has done all that it does."""
    wanted = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
    return is_mounted(target) and os.statvfs(target).f_flag & wanted == wanted


def freeze(target: Path) -> None:
    """The mount there and all below it become read-only, and hear of no mounts elsewhere."""
    attributes = struct.pack("QQQQ", _ATTR_RDONLY, 0, _PRIVATE, 0)
    _call(target, "syscall", _MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, attributes, 32)


def unmount_below(directory: Path) -> None:
    """Everything mounted at or below `directory`, the last mounted first. OSError when something stays: who removes
    the directory then would remove what is mounted."""
    for point in reversed(points_below(directory)):
        try:
            _call(point, "umount2", os.fsencode(point), _MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):  # it went with the one that it was mounted upon
                raise
    left = points_below(directory)
    if left:
        raise OSError(errno.EBUSY, "something is still mounted", left[0])
