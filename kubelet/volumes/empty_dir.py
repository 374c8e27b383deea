"""emptyDir: a directory that lives as long as its pod, on the node's disk or in memory.

Once set up it is the pod's, modes and all: a marker beside it says so (pkg/volume/emptydir). What it takes is looked
at from elsewhere; the size of one in memory is bounded by its mount.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api import quantities
from api.meta import Obj
from client.mountinfo import is_mounted
from kubelet.volumes import mounts, ownership
from kubelet.volumes.base import VolumeError


def set_up(source: Mapping[str, Any], directory: Path, marker: Path, memory: int, group: int | None) -> None:
    """`memory`: the most bytes that one in memory may have, 0 for no bound. Blocking."""
    medium = source.get("medium") or ""
    if medium not in ("", "Memory"):
        raise VolumeError(f"medium {medium}: huge pages are not supported on this node")
    if marker.exists() and (is_mounted(directory) if medium else directory.exists()):
        return
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)
    if medium:
        mounts.mount_tmpfs(directory, memory)
    if group is not None:
        ownership.give(directory, group)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.touch()


def memory_size(source: Mapping[str, Any], pod: Obj, node_allocatable: Mapping[str, str]) -> int:
    """Bytes: the least of what the node gives to pods, what the pod may use in all, and the volume's own limit.

    https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/1967-size-memory-backed-volumes
    """
    bounds = [node_allocatable.get("memory"), _pod_limit(pod), source.get("sizeLimit")]
    return min((size for size in map(_bytes, bounds) if size > 0), default=0)


def _bytes(quantity: Any) -> int:
    return 0 if quantity is None else quantities.units(quantity)


def _pod_limit(pod: Obj) -> str | int:
    """Of memory; 0 when one of the containers has none."""
    spec = pod["spec"]
    whole = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
    if whole is not None:
        return str(whole)

    def limit(container: Mapping[str, Any]) -> int:
        return _bytes(((container.get("resources") or {}).get("limits") or {}).get("memory"))

    inits = spec.get("initContainers") or []
    sidecars = [c for c in inits if c.get("restartPolicy") == "Always"]
    together = [limit(c) for c in (*spec["containers"], *sidecars)]
    alone = [limit(c) for c in inits if c.get("restartPolicy") != "Always"]
    return max(sum(together), *alone, 0) if all(together) and all(alone) else 0
