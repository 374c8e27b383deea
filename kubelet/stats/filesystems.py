"""How full a filesystem is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Filesystem:
    """Bytes and inodes. `available` is what is left for those who are not root, as upstream counts."""

    capacity: int
    available: int
    inodes: int
    inodes_free: int

    @property
    def used(self) -> int:
        return self.capacity - self.available

    @property
    def inodes_used(self) -> int:
        return self.inodes - self.inodes_free


def filesystem(path: Path | str) -> Filesystem:
    """The one that `path` lies on. OSError. May be slow (NFS): an event loop calls it in a thread."""
    found = os.statvfs(path)
    size = found.f_frsize
    return Filesystem(found.f_blocks * size, found.f_bavail * size, found.f_files, found.f_ffree)
