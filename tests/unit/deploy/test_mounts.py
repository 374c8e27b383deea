"""What is unmounted before a machine's directory is removed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.machine_docker import mounts_under
from tests.harness.mounting import own_mounts


@own_mounts
def test_all_below_by_any_name_and_not_the_users_own_disk(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], check=True)
    wanted = [tmp_path / "jürgen" / "with space", tmp_path / "jürgen"]
    for path in reversed(wanted):
        path.mkdir()
        subprocess.run(["mount", "--bind", path, path], check=True)
    assert sorted(mounts_under(tmp_path), reverse=True) == [str(path) for path in wanted]
