"""emptyDir: a directory that lives as long as its pod, on the node's disk or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api import quantities
from kubelet.volumes import mounts


def set_up(source: Mapping[str, Any], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    if source.get("medium") == "Memory":
        limit = source.get("sizeLimit")
        mounts.mount_tmpfs(directory, quantities.units(limit) if limit is not None else 0)
    directory.chmod(0o777)
