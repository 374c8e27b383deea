"""What a volume takes: pkg/volume/util/fs/fs.go DiskUsage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kubelet.volumes.usage import Usage, usage


def test_what_is_not_there_uses_nothing(tmp_path: Path) -> None:
    assert usage(tmp_path / "none") == Usage(0, 0)


def test_blocks_are_counted_and_not_sizes(tmp_path: Path) -> None:
    empty = usage(tmp_path)
    (tmp_path / "full").write_bytes(b"x" * 8192)
    with open(tmp_path / "sparse", "wb") as sparse:
        sparse.truncate(1 << 30)
    os.sync()
    now = usage(tmp_path)
    assert 8192 <= now.bytes - empty.bytes < 65536
    assert now.inodes == empty.inodes + 2


def test_a_file_of_two_names_counts_once_and_links_are_not_followed(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 100_000)
    (volume / "one").write_bytes(b"x")
    os.link(volume / "one", volume / "two")
    (volume / "out").symlink_to(outside)
    found = usage(volume)
    assert found.inodes == 3
    assert found.bytes < 100_000


def test_what_cannot_be_read_hides_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/x", "dead/x", "z/x"):
        (tmp_path / name).mkdir(parents=True)
    real = os.open

    def opening(path: str | Path, flags: int, dir_fd: int | None = None) -> int:
        if path == "dead":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return real(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opening)
    assert usage(tmp_path).inodes == 6
