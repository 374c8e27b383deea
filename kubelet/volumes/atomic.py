"""Replacing all files of a volume in one step, seen from inside a running container.

Layout as upstream's atomic writer: the files lie in a time-stamped directory, `..data` is a symbolic link to
it, and each visible name is a link through `..data`. An update writes a new directory and renames a new
`..data` over the old one: a reader sees all of the old or all of the new.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from client import trees
from kubelet.volumes.base import Payload

_DATA = "..data"
_FRESH = "..data_tmp"


def is_there(directory: Path) -> bool:
    """Whether it was ever written, to the end."""
    link = directory / _DATA
    return link.is_symlink() and link.is_dir() and all((directory / each.name).is_symlink() for each in link.iterdir())


def write(directory: Path, payload: Payload, group: int | None = None) -> bool:
    """True when something changed. `group` owns the files when given (fsGroup). What a write left undone that was
    ended by a crash or a full disk, this one does."""
    for path in payload:
        _check(path)
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / _DATA
    now = directory / os.readlink(link) if link.is_symlink() else None
    wanted = {path: (file.data, file.mode | (0o440 if group is not None else 0)) for path, file in payload.items()}
    changed = now is None or _read(now) != wanted
    if now is None or changed:
        _remove_all_but(now, directory)
        now = _fill(directory, payload, wanted, group)
        fresh = directory / _FRESH
        fresh.symlink_to(now.name)
        fresh.rename(link)
    tops = {path.split("/")[0] for path in payload}
    for name in tops:
        shown = directory / name
        if not shown.is_symlink():
            shown.symlink_to(f"{_DATA}/{name}")
            changed = True
    for shown in directory.iterdir():
        if not shown.name.startswith("..") and shown.name not in tops and shown.is_symlink():
            shown.unlink()
            changed = True
    _remove_all_but(now, directory)
    return changed


def _fill(directory: Path, payload: Payload, wanted: Mapping[str, tuple[bytes, int]], group: int | None) -> Path:
    """A new time-stamped directory."""
    new = Path(tempfile.mkdtemp(prefix=datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S."), dir=directory))
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
    return new


def _remove_all_but(now: Path | None, directory: Path) -> None:
    """What is no longer shown, or never was."""
    (directory / _FRESH).unlink(missing_ok=True)
    for each in directory.glob("..2*"):
        if each != now:
            trees.remove(each)


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
