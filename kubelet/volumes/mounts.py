"""tmpfs mounts of the kubelet's own, by the system call: no program is run for it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MNT_DETACH = 2
_NOSUID, _NODEV = 2, 4
_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(directory: Path, size: int = 0) -> None:
    """Quiet when it is mounted already. OSError when the machine refuses."""
    if os.path.ismount(directory):
        return
    options = f"size={size},mode=0777" if size else "mode=0777"
    failed = _libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", _NOSUID | _NODEV, options.encode())
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(directory))


def unmount_below(directory: Path) -> None:
    """Everything mounted at or below `directory`, the deepest first."""
    prefix = str(directory.resolve())
    with open("/proc/self/mountinfo") as table:
        points = [line.split()[4].encode().decode("unicode_escape") for line in table]
    for point in sorted((p for p in points if p == prefix or p.startswith(prefix + "/")), reverse=True):
        if _libc.umount2(os.fsencode(point), _MNT_DETACH):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), point)
