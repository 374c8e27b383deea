"""What an archive of images says is in it."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from deploy.docker_api import Engine
from deploy.errors import Failure
from deploy.image_archives import source, tagged

ID = "5be61eb907d7" + "0" * 52


def archive(path: Path, manifest: Any, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # its modes are literals
        data = json.dumps(manifest).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("config", [f"{ID}.json", f"blobs/sha256/{ID}"])
def test_an_archive(tmp_path: Path, mode: str, config: str) -> None:
    manifest = [{"Config": config, "RepoTags": ["a:1", "a:2"]}, {"Config": "f00.json", "RepoTags": None}]
    path = archive(tmp_path / "saved.tar", manifest, mode)
    found = source(str(path), Engine(tmp_path / "none"))
    assert found.images == {"a:1": f"sha256:{ID}", "a:2": f"sha256:{ID}", "sha256:f00": "sha256:f00"}
    assert b"".join(found.pieces()) == path.read_bytes() == b"".join(found.pieces())


def test_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    with pytest.raises(Failure, match="no archive of images"):
        source(str(tmp_path / "junk"), Engine(tmp_path / "none"))
    with pytest.raises(Failure, match="no archive of images"):
        source(str(archive(tmp_path / "other.tar", {})), Engine(tmp_path / "none"))
    with pytest.raises(Failure, match="no such image"):
        source("web:1", Engine(tmp_path / "none"))


@pytest.mark.parametrize(("name", "listed"), [
    ("web", "web:latest"), ("h:5000/web", "h:5000/web:latest"), ("h:5000/web:1", "h:5000/web:1"),
])  # fmt: skip
def test_names(name: str, listed: str) -> None:
    assert tagged(name) == listed
