"""What the eviction signals say now. Reads small files and two file systems: an event loop does it in a thread.

memory.available is the capacity less what cannot be given back (the root control group's working set), as upstream's
helpers.go makeSignalObservations says; /proc/meminfo's own idea of it is another.
"""

from __future__ import annotations

from pathlib import Path

from kubelet.eviction.pressure import Observation
from kubelet.node.machine import memory, processes
from kubelet.stats.cgroups import Hierarchy
from kubelet.stats.filesystems import filesystem


class Signals:
    def __init__(self, root: Path) -> None:
        """`root` is the kubelet's directory."""
        self.root = root
        self.images: Path | None = None
        """Where Docker keeps images and containers, once that is known."""
        self._hierarchy = Hierarchy()

    @property
    def image_filesystem(self) -> bool:
        """Whether images and containers have a file system of their own. OSError."""
        return self.images is not None and self.images.stat().st_dev != self.root.stat().st_dev

    def observe(self) -> dict[str, Observation]:
        """OSError."""
        capacity = memory()["MemTotal"]
        running, most = processes()
        found = {
            "memory.available": Observation(max(0, capacity - self._hierarchy.node().working_set), capacity),
            "pid.available": Observation(most - running, most),
        }
        for name, path in (("nodefs", self.root), ("imagefs", self.images)):
            if path is not None:
                seen = filesystem(path)
                found[f"{name}.available"] = Observation(seen.available, seen.capacity)
                found[f"{name}.inodesFree"] = Observation(seen.inodes_free, seen.inodes)
        return found
