"""Replacing all files of a volume in one step, seen from inside a running container.

Layout as upstream's atomic writer: the files lie in a time-stamped directory, `..data` is a symbolic link to
it, and each visible name is a link through `..data`. An update writes a new directory and renames a new
`..data` over the old one: a reader sees all of the old or all of the new.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from kubelet.volumes.base import Payload

_DATA = "..data"


def write(directory: Path, payload: Payload, group: int | None = None) -> bool:
    """True when something changed. `group` owns the files when given (fsGroup)."""
    for path in payload:
        _check(path)
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / _DATA
    old = directory / os.readlink(link) if link.is_symlink() else None
    if old is not None and _same(old, payload):
        return False
    stamp = datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.")
    new = Path(tempfile.mkdtemp(prefix=stamp, dir=directory))
    new.chmod(0o755)
    for path, file in payload.items():
        target = new / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
        target.chmod(file.mode | (0o440 if group is not None else 0))
        if group is not None or file.user is not None:
            os.chown(target, -1 if file.user is None else file.user, -1 if group is None else group)
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
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _check(path: str) -> None:
    if path.startswith(("/", "..")) or ".." in path.split("/") or not path:
        raise ValueError(f"a volume's file cannot have the path {path!r}")


def _same(old: Path, payload: Payload) -> bool:
    present = {str(p.relative_to(old)) for p in old.rglob("*") if p.is_file()}
    if present != set(payload):
        return False
    return all((old / path).read_bytes() == file.data for path, file in payload.items())
