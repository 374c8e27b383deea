"""Where something is mounted, as this process sees it: with bind mounts, which `os.path.ismount` takes for none, and
whatever the names."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPED = re.compile(rb"\\([0-7]{3})")


def mount_of(descriptor: int) -> int:
    """The mount that what is open there was reached by."""
    with open(f"/proc/self/fdinfo/{descriptor}", "rb", buffering=0) as told:
        return int(told.read().partition(b"mnt_id:")[2].split(maxsplit=1)[0])


def is_mounted(path: Path) -> bool:
    """Whether something is mounted right there, a part of the same file system (a bind mount) and a file included: it
    is reached by another mount than the directory it is in."""
    descriptors: list[int] = []
    try:
        for each in (path.parent, path):
            descriptors.append(os.open(each, os.O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if each == path else 0)))
        return mount_of(descriptors[0]) != mount_of(descriptors[1])
    except (FileNotFoundError, NotADirectoryError):
        return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def points_below(directory: Path) -> list[str]:
    """Where something is mounted at or below it, the first mounted first."""
    prefix = os.path.realpath(directory)
    with open("/proc/self/mountinfo", "rb") as table:
        points = [_point(line) for line in table]
    return [point for point in points if point == prefix or point.startswith(f"{prefix}/")]


def _point(line: bytes) -> str:
    """The mount point of a line of mountinfo, where some bytes are written as three octal digits (proc(5))."""
    return os.fsdecode(_ESCAPED.sub(lambda digits: bytes([int(digits[1], 8)]), line.split(b" ")[4]))
