"""What a directory takes on its file system. Blocking: callers on the event loop go through a thread.

Counted as upstream's pkg/volume/util/fs does: blocks in use, not sizes, so that a sparse file weighs what it takes;
a file of several names once; nothing of another file system that is mounted below.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from client import log, trees

_log = log.get("usage")


class Usage(NamedTuple):
    bytes: int = 0
    inodes: int = 0


def usage(path: Path) -> Usage:
    """Of everything at and below `path`, which symbolic links never lead out of. What vanishes meanwhile counts
    nothing, and what cannot be looked at neither: the rest is counted all the same, so that nobody hides behind it. A
    path that is not there uses nothing. OSError when it cannot be looked at itself."""
    try:
        top = os.lstat(path)
    except FileNotFoundError:
        return Usage(0, 0)
    total, inodes = top.st_blocks * 512, 1
    seen: set[int] = set()
    missed: OSError | None = None

    def miss(error: OSError) -> None:
        nonlocal missed
        missed = missed or error

    if stat.S_ISDIR(top.st_mode):
        for directory, name, is_directory in trees.walk(path, lambda child: os.fstat(child).st_dev == top.st_dev, miss):
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                miss(error)
                continue
            if found.st_dev != top.st_dev:
                continue
            if found.st_nlink > 1 and not is_directory:
                if found.st_ino in seen:
                    continue
                seen.add(found.st_ino)
            total += found.st_blocks * 512
            inodes += 1
    if missed is not None:
        _log.warning("not all that a directory takes could be counted", path=str(path), why=str(missed))
    return Usage(total, inodes)
