"""Replacing all files of a volume in one step, seen from inside a running container.

Layout as upstream's atomic writer: the files lie in a time-stamped directory, `..data` is a symbolic link to
it, and each visible name is a link through `..data`. An update writes a new directory and renames a new
`..data` over the old one: a reader sees all of the old or all of the new.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from kubelet.volumes.base import Payload

_DATA = "..data"


def is_there(directory: Path) -> bool:
    """Whether it was ever written."""
    return (directory / _DATA).is_symlink()


def write(directory: Path, payload: Payload, group: int | None = None) -> bool:
    """True when something changed. `group` owns the files when given (fsGroup)."""
    for path in payload:
        _check(path)
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / _DATA
    old = directory / os.readlink(link) if link.is_symlink() else None
    wanted = {path: (file.data, file.mode | (0o440 if group is not None else 0)) for path, file in payload.items()}
    if old is not None and _read(old) == wanted:
        return False
    stamp = datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    new = Path(tempfile.mkdtemp(prefix=stamp, dir=directory))
    new.chmod(0o755)
    for path, (data, mode) in wanted.items():
        target, user = new / path, payload[path].user
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        if group is not None or user is not None:
            os.chown(target, -1 if user is None else user, -1 if group is None else group)
        target.chmod(mode)
    if group is not None:
        for each in (new, *(path for path in new.rglob("*") if path.is_dir())):
            os.chown(each, -1, group)
            each.chmod(0o2755)
    fresh = directory / "..data_tmp"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(new.name)
    fresh.rename(link)
    tops = {path.split("/")[0] for path in payload}
    for name in tops:
        shown = directory / name
        if not shown.is_symlink():
            shown.symlink_to(f"{_DATA}/{name}")
    for shown in directory.iterdir():
        if not shown.name.startswith("..") and shown.name not in tops and shown.is_symlink():
            shown.unlink()
        elif shown.name.startswith("..2") and shown != new:  # the old one, and those that a crash left half written
            shutil.rmtree(shown)
    return True


def _check(path: str) -> None:
    if path.startswith(("/", "..")) or ".." in path.split("/") or not path:
        raise ValueError(f"a volume's file cannot have the path {path!r}")


def _read(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Path → content and mode of what a volume shows now."""
    return {
        str(path.relative_to(directory)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in directory.rglob("*")
        if path.is_file()
    }
