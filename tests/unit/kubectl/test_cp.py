"""What `kubectl cp` makes of an archive from a container. Source: kubectl/pkg/cmd/cp (untarAll)."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from kubectl.verbs.cp import _unpack


def _archive(*members: tuple[str, bytes, bytes | str]) -> io.BytesIO:
    """(name, kind, content or link target) …"""
    spool = io.BytesIO()
    with tarfile.open(fileobj=spool, mode="w") as archive:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            if isinstance(content, str):
                info.linkname = content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return spool


def test_files_and_directories_come_and_nothing_leads_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = _archive(
        ("there", tarfile.DIRTYPE, b""),
        ("there/sub/a", tarfile.REGTYPE, b"text"),
        ("there/link", tarfile.SYMTYPE, "/etc"),
        ("there/link/b", tarfile.REGTYPE, b"beside"),
        ("there/../../c", tarfile.REGTYPE, b"out"),
        ("/d", tarfile.REGTYPE, b"out"),
    )
    _unpack(spool, "there", tmp_path / "back")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"back/sub/a", "back/link/b"}
    assert (tmp_path / "back/sub/a").read_bytes() == b"text"
    assert (tmp_path / "back/sub/a").stat().st_mode & 0o777 == 0o755
    warned = capsys.readouterr().err.splitlines()
    assert [line.split('"')[1] for line in warned] == ["there/link", "there/../../c", "/d"]


def test_into_a_directory_that_is_there(tmp_path: Path) -> None:
    _unpack(_archive(("file", tarfile.REGTYPE, b"x")), "file", tmp_path)
    assert (tmp_path / "file").read_bytes() == b"x"
