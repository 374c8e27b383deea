"""Layers of an image over one another: what an upper one hides is gone."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from kubelet.images.unpack import unpack


def layer(*entries: str) -> io.BytesIO:
    """`name`, `directory/`, or `link -> target`; a file holds its own name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            name, arrow, target = entry.partition(" -> ")
            info = tarfile.TarInfo(name.rstrip("/"))
            data = info.name.encode()
            if arrow:
                info.type, info.linkname, data = tarfile.SYMTYPE, target, b""
            elif name.endswith("/"):
                info.type, info.mode, data = tarfile.DIRTYPE, 0o755, b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def found(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


@pytest.mark.parametrize(("layers", "left"), [
    ([["a", "d/", "d/b"], ["d/c"]], {"a", "d/b", "d/c"}),
    ([["a", "d/", "d/b"], [".wh.a", "d/.wh.b"]], set()),
    ([["d/", "d/b", "d/e/", "d/e/f"], ["d/.wh.e"]], {"d/b"}),
    ([["d/", "d/b", "d/e/", "d/e/f"], ["d/", "d/e/", "d/e/g", "d/.wh..wh..opq"]], {"d/e/g"}),
    ([["d/", "d/b"], ["d"]], {"d"}),
    ([["d"], ["d/", "d/b"]], {"d/b"}),
    ([["d/", "d/b"], ["d -> elsewhere"]], {"d"}),
    ([["e/", "l -> e"], ["l/", "l/b"]], {"l/b"}),
    ([["a"], [".wh.nothing", "n/.wh..wh..opq"]], {"a"}),
])  # fmt: skip
def test_layers(tmp_path: Path, layers: list[list[str]], left: set[str]) -> None:
    for entries in layers:
        unpack(layer(*entries), tmp_path)
    assert found(tmp_path) == left


def test_devices_are_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        device = tarfile.TarInfo("null")
        device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
        tar.addfile(device)
    buffer.seek(0)
    unpack(buffer, tmp_path)
    assert found(tmp_path) == set()
