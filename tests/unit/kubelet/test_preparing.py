"""The files that a pod's containers are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from kubelet.pods.facts import Facts
from kubelet.pods.preparing import Preparing, _holds
from kubelet.volumes.manager import Volumes
from tests.unit.kubelet.pods import pod


@pytest.mark.parametrize(
    "written", [b"\xff\xfe", b"", b"short", b"#" * 100_000], ids=["no text", "nothing", "less", "more"]
)
def test_names_are_put_right_whatever_a_container_made_of_them(tmp_path: Path, written: bytes) -> None:
    nothing = cast(Any, None)
    facts = Facts("n1", "192.0.2.1", tmp_path)
    volumes = Volumes(facts, nothing, nothing, nothing)
    preparing = Preparing(nothing, nothing, volumes, nothing, nothing, nothing, facts)
    preparing._write_names(pod(), ("10.0.0.7",))
    files = [volumes.pod_directory("u-1") / name for name in ("etc-hosts", "resolv.conf")]
    before = [(file.read_bytes(), file.stat().st_ino) for file in files]
    assert b"10.0.0.7" in before[0][0]
    for file in files:
        file.write_bytes(written)
    preparing._write_names(pod(), ("10.0.0.7",))
    assert [(file.read_bytes(), file.stat().st_ino) for file in files] == before, (
        "they are mounted: they stay the same files"
    )


def test_no_more_of_a_file_is_read_than_it_should_hold(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 43)
    assert not _holds(huge, b"x")
    huge.write_bytes(b"x")
    assert _holds(huge, b"x") and not _holds(huge, b"") and not _holds(huge, b"xy")
