"""`python -m kubelet.images.unpack DIRECTORY LAYER…`: unpacks layers of an image, each a tar, over one another.

A program of its own, because it makes the directory its root: whatever links and names the layers hold, they stay in
there. Devices are left out; nobody runs what is unpacked.

How layers hide what is below them: https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import IO

# tarfile loads these when a layer needs them, from a root that has none.
import bz2  # noqa: F401  # isort: skip
import gzip  # noqa: F401  # isort: skip
import lzma  # noqa: F401  # isort: skip

_HIDES, _HIDES_ALL = ".wh.", ".wh..wh..opq"


def unpack(layer: IO[bytes], root: Path) -> None:
    with tarfile.open(fileobj=layer) as tar:
        tar.extraction_filter = lambda member, _: member
        new: set[str] = set()
        for member in tar:
            path = root / member.name.lstrip("/")
            if path.name == _HIDES_ALL:
                _empty(path.parent, {name for name in new if Path(name).is_relative_to(path.parent)})
            elif path.name.startswith(_HIDES):
                _remove(path.with_name(path.name.removeprefix(_HIDES)))
            elif not (member.ischr() or member.isblk()):
                if not (member.isdir() and path.is_dir() and not path.is_symlink()):
                    _remove(path)
                tar.extract(member, root, numeric_owner=True)
                new.add(str(path))


def _empty(directory: Path, keep: set[str]) -> None:
    """Of what lower layers put there."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_dir() and not path.is_symlink() and any(Path(each).is_relative_to(path) for each in keep):
            _empty(path, keep)
        elif str(path) not in keep:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    directory, *layers = sys.argv[1:]
    files = [open(layer, "rb") for layer in layers]  # noqa: SIM115 - they are out of sight soon
    os.chroot(directory)
    os.chdir("/")
    for file in files:
        unpack(file, Path("/"))


if __name__ == "__main__":
    main()
