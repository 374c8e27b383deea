"""The small pure parts: environment, names, resources, container bodies, images, logs, probes, the node."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from kubelet.docker import sandbox_image
from kubelet.docker.inspection import parse_docker_time
from kubelet.images.puller import pull_policy
from kubelet.network import pod_network as network
from kubelet.probing.prober import Settings, Streak
from kubelet.server.streaming.remote_command import outcome
from kubelet.volumes import atomic, host_path
from kubelet.volumes.base import File, VolumeError, choose
from tests.unit.kubelet.pods import NOW

POLICIES = [
    ("busybox", "Always"),
    ("busybox:latest", "Always"),
    ("busybox:1", "IfNotPresent"),
    ("host:5000/busybox", "Always"),
    ("busybox@sha256:00", "IfNotPresent"),
]


@pytest.mark.parametrize(("image", "policy"), POLICIES)
def test_default_pull_policy(image: str, policy: str) -> None:
    assert pull_policy({"image": image}) == policy


def test_docker_times() -> None:
    assert parse_docker_time("0001-01-01T00:00:00Z") is None
    found = parse_docker_time("2026-01-02T03:04:05.123456789Z")
    assert found is not None and found.isoformat() == "2026-01-02T03:04:05.123456+00:00"
    assert parse_docker_time("2026-01-02T03:04:05Z") == NOW


def test_probe_thresholds() -> None:
    streak = Streak(Settings.of({"failureThreshold": 2, "successThreshold": 2}))
    assert [streak.add(r) for r in (False, False, True, True, False)] == [None, False, None, True, None]


def test_exit_codes_travel_as_causes() -> None:
    assert outcome(0)["status"] == "Success"
    failed = outcome(3)
    assert failed["reason"] == "NonZeroExitCode"
    assert failed["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}


def test_network_body() -> None:
    body = network.network_body("10.244.7.0/24", {}, (20, 10, 24))
    pool = {"Subnet": "10.244.7.0/24", "IPRange": "10.244.7.192/26", "Gateway": "10.244.7.1"}
    assert body["IPAM"]["Config"] == [pool]
    assert "com.docker.network.bridge.gateway_mode_ipv4" not in body["Options"]
    newer = network.network_body("10.244.7.0/24", {}, (28, 0, 1))
    assert newer["Options"]["com.docker.network.bridge.gateway_mode_ipv4"] == "nat-unprotected"


@pytest.mark.parametrize(("name", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_sandbox_program_is_a_static_executable(name: str, number: int) -> None:
    code = sandbox_image.program(name)
    assert code[:4] == b"\x7fELF"
    kind, machine_type = struct.unpack_from("<HH", code, 16)
    assert (kind, machine_type) == (2, number)
    assert struct.unpack_from("<Q", code, 96)[0] == len(code)


def test_atomic_update_swaps_all_files_at_once(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert (tmp_path / "a").read_bytes() == b"1" and (tmp_path / "d" / "b").read_bytes() == b"2"
    first = os.readlink(tmp_path / "..data")
    assert not atomic.write(tmp_path, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o600)})
    assert atomic.write(tmp_path, {"a": File(b"3", 0o644)})
    assert os.readlink(tmp_path / "..data") != first
    assert (tmp_path / "a").read_bytes() == b"3"
    assert not (tmp_path / "d").is_symlink() and not (tmp_path / first).exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../b", ""])
def test_volume_files_stay_in_their_volume(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot have the path"):
        atomic.write(tmp_path, {path: File(b"", 0o644)})


def test_items_choose_and_rename() -> None:
    data = {"a": b"1", "b": b"2"}
    assert choose(data, {}, 0o644, False, "no key") == {"a": File(b"1", 0o644), "b": File(b"2", 0o644)}
    items = {"items": [{"key": "b", "path": "x/y", "mode": 0o400}]}
    assert choose(data, items, 0o644, False, "no key") == {"x/y": File(b"2", 0o400)}
    with pytest.raises(VolumeError, match="no key: z"):
        choose(data, {"items": [{"key": "z", "path": "z"}]}, 0o644, False, "no key")


def test_host_path_types(tmp_path: Path) -> None:
    def check(kind: str, name: str) -> Path:
        return host_path.set_up({"path": str(tmp_path / name), "type": kind})

    assert check("DirectoryOrCreate", "d").is_dir()
    assert check("FileOrCreate", "f").is_file()
    assert check("Directory", "d") and check("File", "f")
    for kind, name in (("File", "d"), ("Directory", "f"), ("Socket", "f"), ("Directory", "none")):
        with pytest.raises(VolumeError, match="hostPath type check failed"):
            check(kind, name)
