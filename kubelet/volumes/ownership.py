"""fsGroup: a volume's files belong to the pod's group, and new ones will.

Rules: pkg/volume/volume_linux.go; fsGroupChangePolicy:
https://github.com/kubernetes/enhancements/tree/master/keps/sig-storage/695-skip-permission-change
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from client import trees

_WRITABLE, _READ_ONLY, _OF_DIRECTORY = 0o660, 0o440, stat.S_ISGID | 0o110


def give(
    root: Path, group: int, *, read_only: bool = False, only_on_mismatch: bool = False,
    given_up: threading.Event | None = None,
) -> None:  # fmt: skip
    """Everything at and below `root`; blocking, and long where there is much. With `only_on_mismatch`
    (OnRootMismatch) nothing is done when the root directory is as it should be. It stops where it is once it is
    `given_up`."""
    if only_on_mismatch and _fits(root, group, read_only):
        return
    # The root comes last: with OnRootMismatch it tells that all below it was done, also after a crash in between.
    if stat.S_ISDIR(os.lstat(root).st_mode):
        for directory, name, _ in trees.walk(root):
            if given_up is not None and given_up.is_set():
                return
            _give(name, directory, group, read_only)
    _give(os.fspath(root), None, group, read_only)


def _give(name: str, parent: int | None, group: int, read_only: bool) -> None:
    """A container may put a link in the place of what we look at: what is changed is what was opened."""
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    try:
        mode = os.fstat(found).st_mode
        if stat.S_ISLNK(mode):
            os.chown(name, -1, group, dir_fd=parent, follow_symlinks=False)
        else:
            os.chown(f"/proc/self/fd/{found}", -1, group)  # it clears the setgid bit of a file, which chmod puts back
            os.chmod(f"/proc/self/fd/{found}", stat.S_IMODE(mode) | _mask(mode, read_only))
    finally:
        os.close(found)


def _mask(mode: int, read_only: bool) -> int:
    return (_READ_ONLY if read_only else _WRITABLE) | (_OF_DIRECTORY if stat.S_ISDIR(mode) else 0)


def _fits(root: Path, group: int, read_only: bool) -> bool:
    found = os.stat(root)
    mask = _mask(found.st_mode, read_only)
    return found.st_gid == group and found.st_mode & mask == mask
