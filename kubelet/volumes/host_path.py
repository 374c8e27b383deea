"""hostPath: a path of the machine, checked against the type the pod says it has."""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubelet.volumes.base import VolumeError

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def set_up(source: Mapping[str, Any]) -> Path:
    """The path, made where its type says so. VolumeError when the type does not hold."""
    path, kind = Path(source["path"]), source.get("type") or ""
    try:
        if kind == "DirectoryOrCreate" or (kind == "" and not path.exists()):
            path.mkdir(parents=True, exist_ok=True)
            kind = "Directory"
        elif kind == "FileOrCreate":
            if not path.exists():
                path.touch(mode=0o644)
            kind = "File"
        if kind:
            check, what = _CHECKS[kind]
            if not check(path.stat().st_mode):
                raise VolumeError(f"hostPath type check failed: {path} is not {what}")
    except KeyError as error:
        raise VolumeError(f"{kind} is an invalid volume type") from error
    except OSError as error:
        what = _CHECKS.get(kind, (None, "there"))[1]
        raise VolumeError(f"hostPath type check failed: {path} is not {what}") from error
    return path
