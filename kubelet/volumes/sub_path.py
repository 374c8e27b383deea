"""subPath: one directory or file of a volume, bound where no pod can swap it for something of the machine.

The containers that share a volume may change it at any moment, also between our look at a path and its mount. So
the path is resolved, walked again from the volume's root one name at a time without following any link, and what was
reached is bound by its descriptor to a place in the pod's directory that only the kubelet can change. Docker mounts
that place. Source: pkg/volume/util/subpath/subpath_linux.go
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kubelet.volumes import mounts


class Outside(OSError):
    """The path leads out of its volume."""


def walk(volume: Path, path: str) -> int:
    """A descriptor (O_PATH) of volume/path. Directories that are missing are made like the volume's own. OSError,
    and Outside when it is not in the volume."""
    root = os.path.realpath(volume)
    wanted = os.path.realpath(os.path.join(root, path))
    if wanted != root and not wanted.startswith(root.rstrip("/") + "/"):
        raise Outside(f"{path} leads out of the volume")
    descriptor = os.open(root, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    for name in os.path.relpath(wanted, root).split("/") if wanted != root else ():
        try:
            child = _step(descriptor, name, mode)
        finally:
            os.close(descriptor)
        descriptor = child
    return descriptor


def _step(parent: int, name: str, mode: int) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        child = os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(name, mode, dir_fd=parent)
        child = os.open(name, flags, dir_fd=parent)
        if stat.S_ISDIR(os.fstat(child).st_mode):
            os.chmod(f"/proc/self/fd/{child}", mode)  # mkdir obeyed the umask
    if stat.S_ISLNK(os.fstat(child).st_mode):
        os.close(child)
        raise Outside(f"{name} was made a link while it was looked at")
    return child


def bind(volume: Path, path: str, target: Path, *, recursively_read_only: bool = False) -> None:
    """volume/path at `target`, in place of what an earlier container had there. OSError."""
    descriptor = walk(volume, path)
    try:
        mounts.unmount(target)
        _make(target, stat.S_ISDIR(os.fstat(descriptor).st_mode))
        mounts.bind(descriptor, target)
        if recursively_read_only:
            mounts.freeze(target)
    finally:
        os.close(descriptor)


def _make(target: Path, directory: bool) -> None:
    """An empty directory or file to mount upon: the kernel wants it to be what is mounted."""
    if target.exists() and target.is_dir() != directory:
        if directory:
            target.unlink()
        else:
            target.rmdir()
    if directory:
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
