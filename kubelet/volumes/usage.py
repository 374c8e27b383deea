"""What a directory takes on its file system. Blocking: callers on the event loop go through a thread.

Counted as upstream's pkg/volume/util/fs does: blocks in use, not sizes, so that a sparse file weighs what it takes;
a file of several names once; nothing of another file system that is mounted below.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    bytes: int
    inodes: int


def usage(path: Path) -> Usage:
    """Of everything at and below `path`, which symbolic links never lead out of. What vanishes meanwhile counts
    nothing; a path that is not there uses nothing."""
    try:
        top = os.lstat(path)
    except FileNotFoundError:
        return Usage(0, 0)
    seen: set[int] = set()
    total, inodes = top.st_blocks * 512, 1
    pending = [os.fspath(path)]
    while pending:
        for entry in _entries(pending.pop()):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if found.st_dev != top.st_dev:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
            elif found.st_nlink > 1:
                if found.st_ino in seen:
                    continue
                seen.add(found.st_ino)
            total += found.st_blocks * 512
            inodes += 1
    return Usage(total, inodes)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []
