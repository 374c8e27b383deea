"""Trees of files that containers write to: of any depth, and changed under our hands. Blocking.

No path is looked up twice and no link followed: each directory is opened from the one it is in. Few are open at a
time; of a deep tree those in the middle are closed, and reached again through `..`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from client import mountinfo

_OPEN = 32
"""Directories that one walk holds open: several trees are walked at once, and a process may have 1,024 files open."""
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


Found = tuple[int, str, bool]
"""The directory that it is in (a descriptor, open until the next is asked for), its name, whether it is a directory."""
Missed = Callable[[OSError], None]


def walk(top: Path, enters: Callable[[int], bool] = lambda _: True, missed: Missed | None = None) -> Iterator[Found]:
    """Everything below `top`, a directory after all that is in it. `enters` is asked of each directory, open, whether
    to go into it. What vanishes meanwhile is left out. OSError when a directory cannot be read, unless there is
    `missed`: it is told, and the walk goes on. `top` has to be a directory."""
    levels = [_Level(os.fspath(top), os.open(top, _FLAGS))]
    try:
        yield from _read(levels[0], missed)
        while True:
            here = levels[-1]
            if here.below:
                name = here.below.pop()
                try:
                    child = os.open(name, _FLAGS, dir_fd=here.descriptor)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    changed = error.errno in (errno.ENOTDIR, errno.ELOOP)
                    if not changed:
                        _miss(error, missed)
                    yield here.descriptor, name, not changed
                    continue
                levels.append(_Level(name, child))
                if len(levels) > _OPEN:
                    levels[-_OPEN].put_away()  # the top stays
                if enters(child):
                    yield from _read(levels[-1], missed)
            elif len(levels) == 1:
                return
            elif _back(levels, missed):
                yield levels[-1].descriptor, here.name, True
    finally:
        for level in levels:
            level.close()


def remove(top: Path) -> None:
    """`top` with all that is in it. OSError, and nothing of another mount is touched, when something is mounted
    there."""
    parent = os.open(top.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        own = mountinfo.mount_of(parent)
        if mountinfo.is_mounted(top):
            raise OSError(errno.EBUSY, "something is mounted there", os.fspath(top))
        for directory, name, is_directory in walk(top, lambda descriptor: mountinfo.mount_of(descriptor) == own):
            (os.rmdir if is_directory else os.unlink)(name, dir_fd=directory)
        os.rmdir(top.name, dir_fd=parent)
    finally:
        os.close(parent)


class _Level:
    """A directory on the way from the top to where the walk is."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name, self.descriptor = name, descriptor
        self.below: list[str] = []
        """Directories in it that are still to be walked."""
        self._was = (0, 0)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def put_away(self) -> None:
        self._was = _identity(self.descriptor)
        self.close()

    def reach(self, child: int) -> None:
        """It is open, if need be again from a directory in it. OSError when that has been moved meanwhile."""
        if self.descriptor < 0:
            self.descriptor = os.open("..", _FLAGS, dir_fd=child)
            if _identity(self.descriptor) != self._was:
                raise OSError(errno.ESTALE, "moved while it was walked", self.name)


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _read(level: _Level, missed: Missed | None) -> Iterator[Found]:
    """What is in it but directories, which are noted."""
    try:
        with os.scandir(level.descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    level.below.append(entry.name)
                else:
                    yield level.descriptor, entry.name, False
    except OSError as error:
        _miss(error, missed)


def _back(levels: list[_Level], missed: Missed | None) -> bool:
    """One level up; False when there is no way back but to the top."""
    left = levels.pop()
    try:
        levels[-1].reach(left.descriptor)
    except OSError as error:
        _miss(error, missed)
        for level in levels[1:]:
            level.close()
        del levels[1:]
        return False
    finally:
        left.close()
    return True


def _miss(error: OSError, missed: Missed | None) -> None:
    if missed is None:
        raise error
    missed(error)
