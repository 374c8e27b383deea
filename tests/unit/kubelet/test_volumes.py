"""Volumes as far as they need no mount: what is behind them, what they hold, where containers see them, and the words
in which they fail. The sources are upstream's files named in the modules."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from api.errors import Forbidden
from api.meta import Obj
from client import trees
from client.clock import FakeClock
from kubelet.pods.environment import ConfigError
from kubelet.pods.facts import Facts
from kubelet.volumes import (
    atomic,
    claims,
    container_mounts,
    empty_dir,
    host_path,
    kinds,
    manager,
    mounts,
    network_fs,
    ownership,
    read_only,
    sub_path,
)
from kubelet.volumes.base import File, VolumeError
from kubelet.volumes.claims import Source, Unprocessed
from kubelet.volumes.container_mounts import Place
from kubelet.volumes.manager import Volumes
from kubelet.volumes.threads import FOREIGN
from tests.unit.client.test_trees import DEEP, dig
from tests.unit.kubelet.pods import pod


class Objects:
    """A lookup: what is in the apiserver."""

    def __init__(self, **found: Obj) -> None:
        self.found = found

    async def _get(self, name: str) -> Obj | None:
        if name == "secret-of-others":
            raise Forbidden("no relationship found")
        return self.found.get(name.replace("-", "_"))

    async def config_map(self, _: str, name: str) -> Obj | None:
        return await self._get(name)

    secret = claim = config_map

    async def persistent_volume(self, name: str) -> Obj | None:
        return await self._get(name)

    async def token(self, *_: Any) -> str:
        return "token"

    def forget_pod(self, _: str) -> None:
        pass


async def no_images(image_id: str, directory: Path) -> None:
    raise AssertionError(image_id)


def using(*volumes: Obj, **spec: Any) -> Obj:
    """A pod whose container mounts all of its volumes."""
    made = pod(volumes=list(volumes), **spec)
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]
    made["spec"]["containers"][0]["volumeMounts"] = mounts
    return made


class Node:
    def __init__(self, root: Path, **found: Obj) -> None:
        self.clock, self.objects = FakeClock(), Objects(**found)
        self.volumes = Volumes(Facts("n1", "192.0.2.1", root), cast(Any, self.objects), self.clock, no_images)
        self.said: list[str] = []

    async def fails(self, obj: Obj) -> list[str]:
        """What is said when the pod's volumes cannot be had."""
        self.said.clear()
        with pytest.raises(VolumeError):
            await self.volumes.set_up(obj, self.said.append)
        return list(self.said)

    def file(self, plugin: str, path: str) -> Path:
        return self.volumes.pod_directory("u-1") / "volumes" / f"kubernetes.io~{plugin}" / path


# Files.


async def test_a_missing_object_is_told_and_after_two_minutes_all_that_is_missing(tmp_path: Path) -> None:
    node = Node(tmp_path)
    wanted = using({"name": "c", "configMap": {"name": "late"}})
    told = 'MountVolume.SetUp failed for volume "c" : configmap "late" not found'
    assert await node.fails(wanted) == [told]
    node.clock.advance(60)
    assert await node.fails(wanted) == [told]
    node.clock.advance(64)
    everything = (
        "Unable to attach or mount volumes: unmounted volumes=[c], unattached volumes=[], "
        "failed to process volumes=[]: context deadline exceeded"
    )
    assert await node.fails(wanted) == [told, everything]
    assert await node.fails(wanted) == [told]
    node.objects.found["late"] = {"data": {"a": "1"}, "binaryData": {"b": "AAE="}}
    await node.volumes.set_up(wanted, node.said.append)
    assert (node.file("configmap", "c/a").read_text(), node.file("configmap", "c/b").read_bytes()) == ("1", b"\0\1")


async def test_a_config_map_that_went_away_holds_no_running_pod_back(tmp_path: Path) -> None:
    """Upstream counts a volume that was mounted as mounted, whatever its remount says."""
    node = Node(tmp_path, here={"data": {"a": "1"}})
    wanted = using({"name": "c", "configMap": {"name": "here"}})
    await node.volumes.set_up(wanted, node.said.append)
    node.objects.found.clear()
    await node.volumes.set_up(wanted, node.said.append)
    assert node.said == ['MountVolume.SetUp failed for volume "c" : configmap "here" not found']
    assert node.file("configmap", "c/a").read_text() == "1"


async def test_a_volume_that_no_container_mounts_is_not_looked_at(tmp_path: Path) -> None:
    wanted = pod(volumes=[{"name": "c", "configMap": {"name": "none"}}])
    await Node(tmp_path).volumes.set_up(wanted, pytest.fail)


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        ({"glusterfs": {}}, "volumes of kind glusterfs are not supported on this node"),
        ({"csi": {"driver": "x"}}, "volumes of kind csi are not supported on this node"),
        ({"emptyDir": {"medium": "HugePages"}}, "medium HugePages: huge pages are not supported on this node"),
        ({"configMap": {"name": "m", "items": [{"key": "no", "path": "p"}]}},
         "configmap references non-existent config key: no"),
        ({"secret": {"secretName": "m", "items": [{"key": "no", "path": "p"}]}},
         "references non-existent secret key: no"),
        ({"projected": {"sources": [{"configMap": {"name": "m", "items": [{"key": "no", "path": "p"}]}}]}},
         "configmap references non-existent config key: no"),
        ({"hostPath": {"path": "/proc/version", "type": "Directory"}},
         "hostPath type check failed: /proc/version is not a directory"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_what_cannot_be_had_is_told(volume: Obj, text: str, tmp_path: Path) -> None:
    node = Node(tmp_path, m={"data": {}})
    assert await node.fails(using({"name": "v", **volume})) == [f'MountVolume.SetUp failed for volume "v" : {text}']


async def test_projected_sources_fail_together(tmp_path: Path) -> None:
    sources = [
        {"configMap": {"name": "x"}}, {"secret": {"name": "y"}}, {"secret": {"name": "z", "optional": True}},
        {"clusterTrustBundle": {"path": "p"}}, {"secret": {"name": "secret-of-others"}},
    ]  # fmt: skip
    told = await Node(tmp_path).fails(using({"name": "v", "projected": {"sources": sources}}))
    assert told == [
        'MountVolume.SetUp failed for volume "v" : [configmap "x" not found, secret "y" not found, '
        "projected sources of kind clusterTrustBundle are not supported on this node, no relationship found]"
    ]


async def test_the_group_may_read_files_and_look_into_directories(tmp_path: Path) -> None:
    """volume_linux.go: fsGroup on what is read-only adds 0440, and 02110 to directories."""
    node = Node(tmp_path, m={"data": {"a": "1"}})
    items = [{"key": "a", "path": "d/a", "mode": 0o400}]
    wanted = using({"name": "c", "configMap": {"name": "m", "items": items}}, securityContext={"fsGroup": os.getgid()})
    await node.volumes.set_up(wanted, pytest.fail)
    file = node.file("configmap", "c/d/a")
    assert stat.S_IMODE(file.stat().st_mode) == 0o440
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o2755


def test_a_changed_mode_is_a_change_and_a_crash_leaves_nothing(tmp_path: Path) -> None:
    assert atomic.write(tmp_path, {"a": File(b"1", 0o644)})
    (tmp_path / "..2020_01_01_00_00_00.x").mkdir()
    (tmp_path / "..data_tmp").symlink_to("nowhere")
    assert not atomic.write(tmp_path, {"a": File(b"1", 0o644)})
    assert atomic.write(tmp_path, {"a": File(b"1", 0o600)})
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["..data", os.readlink(tmp_path / "..data"), "a"])


class Killed(BaseException):
    """Nothing catches it, as nothing is told of a SIGKILL."""


class Fate:
    """Ends whoever changes the disk for the n-th time, just before he does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = float("inf")
        for name in ("mkdir", "rmdir", "unlink", "symlink", "rename", "chmod", "chown"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))
        monkeypatch.setattr(io, "open", self._counted(io.open))

    def _counted(self, call: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return call(*args, **kwargs)

        return counted


@pytest.mark.parametrize("first", [False, True], ids=["a change", "the first write"])
@pytest.mark.parametrize("back", [False, True], ids=["the same again", "the change taken back"])
def test_a_write_that_was_killed_at_any_step_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, back: bool
) -> None:
    before = {"a": File(b"1", 0o644), "gone/b": File(b"2", 0o644)}
    after = {"a": File(b"9", 0o644), "new/c": File(b"3", 0o600), "d": File(b"4", 0o644)}
    fate, wanted, step = Fate(monkeypatch), before if back else after, 0
    while True:
        volume = tmp_path / str(step)
        volume.mkdir()
        if not first:
            atomic.write(volume, before)
        fate.left = step
        try:
            atomic.write(volume, after)
        except Killed:
            fate.left = float("inf")
        else:
            break
        assert not atomic.is_there(volume) or (volume / "a").exists()
        atomic.write(volume, wanted)
        for path, file in wanted.items():
            assert (volume / path).read_bytes() == file.data
        tops = {path.split("/")[0] for path in wanted}
        assert {p.name for p in volume.iterdir()} == {"..data", os.readlink(volume / "..data"), *tops}, step
        assert not atomic.write(volume, wanted)
        step += 1
    assert step > 15


def test_writes_that_fail_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk each is tried again and again."""
    atomic.write(tmp_path, {"a": File(b"1", 0o644)})
    fate = Fate(monkeypatch)
    for _ in range(3):
        fate.left = 2 + 4  # enough to begin: a directory and its mode; and to take away the last one's
        with pytest.raises(Killed):
            atomic.write(tmp_path, {"a": File(b"2", 0o644)})
    assert len(list(tmp_path.glob("..2*"))) == 2


# Claims.

CLAIM: Obj = {
    "metadata": {"name": "claim", "namespace": "default", "uid": "c-1"},
    "spec": {"volumeName": "volume"},
    "status": {"phase": "Bound"},
}
VOLUME: Obj = {
    "metadata": {"name": "volume", "annotations": {"pv.beta.kubernetes.io/gid": "1234"}},
    "spec": {"claimRef": {"uid": "c-1"}, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
             "mountOptions": ["hard"], "nfs": {"server": "s", "path": "/p"}},
}  # fmt: skip
OF_CLAIM: Obj = {"name": "v", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}}


async def test_a_claim_is_the_volume_it_is_bound_to() -> None:
    found = await claims.resolve(using(OF_CLAIM), OF_CLAIM, Objects(claim=CLAIM, volume=VOLUME))
    assert found == Source("volume", "nfs", {"server": "s", "path": "/p"}, True, ("hard",), group=1234)


def _but(obj: Obj, section: str, **changes: Any) -> Obj:
    return {**obj, section: {**obj[section], **changes}}


@pytest.mark.parametrize(
    ("claim", "volume", "text"),
    [
        (None, VOLUME, 'failed to fetch PVC from API server: persistentvolumeclaims "claim" not found'),
        (_but(CLAIM, "status", phase="Pending"), VOLUME, "PVC is not bound"),
        (_but(CLAIM, "metadata", deletionTimestamp="2026-01-02T03:04:35Z"), VOLUME, "PVC is being deleted"),
        (_but(CLAIM, "spec", volumeName=""), VOLUME, "PVC has empty pvc.Spec.VolumeName"),
        (CLAIM, None, 'failed to fetch PV volume from API server: persistentvolumes "volume" not found'),
        (CLAIM, _but(VOLUME, "spec", claimRef=None), "found PV object volume but it has a nil pv.Spec.ClaimRef "
         "indicating it is not yet bound to the claim"),
        (CLAIM, _but(VOLUME, "spec", claimRef={"uid": "c-2"}), "found PV object volume but its "
         "pv.Spec.ClaimRef.UID c-2 does not point to claim.UID c-1"),
    ],
    ids=["no claim", "pending", "deleted", "no name", "no volume", "unbound", "of another"],
)  # fmt: skip
async def test_a_claim_without_a_volume_is_told_at_once(
    claim: Obj | None, volume: Obj | None, text: str, tmp_path: Path
) -> None:
    found = {k: v for k, v in (("claim", claim), ("volume", volume)) if v is not None}
    assert await Node(tmp_path, **found).fails(using(OF_CLAIM)) == [
        "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
        f"failed to process volumes=[v]: error processing PVC default/claim: {text}"
    ]


async def test_an_ephemeral_volumes_claim_is_the_pods_own() -> None:
    volume: Obj = {"name": "claim", "ephemeral": {"volumeClaimTemplate": {}}}
    obj = using(volume)
    of_pod = {**_but(CLAIM, "metadata", name="web-claim"), "status": {"phase": "Bound"}}
    with pytest.raises(Unprocessed, match=r"PVC default/web-claim was not created for pod default/web \(pod is not"):
        await claims.resolve(obj, volume, Objects(web_claim=of_pod, volume=VOLUME))
    of_pod["metadata"]["ownerReferences"] = [{"uid": "u-1", "controller": True}]
    assert (await claims.resolve(obj, volume, Objects(web_claim=of_pod, volume=VOLUME))).kind == "nfs"


async def test_a_block_volume_is_no_directory(tmp_path: Path) -> None:
    volume = _but(VOLUME, "spec", volumeMode="Block")
    told = await Node(tmp_path, claim=CLAIM, volume=volume).fails(using(OF_CLAIM))
    assert told[0].endswith(": volume v has volumeMode Block, but is specified in volumeMounts")


async def test_a_block_volume_is_a_device(tmp_path: Path) -> None:
    """The group of pv.beta.kubernetes.io/gid comes to the processes' own."""
    disk = tmp_path / "disk"
    disk.touch()
    spec = {"claimRef": {"uid": "c-1"}, "volumeMode": "Block", "local": {"path": str(disk)}}
    node = Node(tmp_path, claim=CLAIM, volume={**VOLUME, "spec": spec})
    wanted = using(OF_CLAIM)
    container = wanted["spec"]["containers"][0]
    container |= {"volumeMounts": [], "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}
    await node.volumes.set_up(wanted, pytest.fail)
    assert await node.volumes.devices(wanted, container) == [
        {"PathOnHost": str(disk), "PathInContainer": "/dev/x", "CgroupPermissions": "rm"}
    ]
    assert await node.volumes.groups(wanted) == [1234] and not await node.volumes.mounts(wanted, container, {})


async def test_what_is_behind_claims_outlives_the_kubelet_and_ends_with_the_volumes(tmp_path: Path) -> None:
    """Their figures are told of pods that run, whoever started them."""
    disk = tmp_path / "disk"
    (disk / "data").mkdir(parents=True)
    spec = {"claimRef": {"uid": "c-1"}, "local": {"path": str(disk)}}
    node = Node(tmp_path, claim=CLAIM, volume={**VOLUME, "spec": spec})
    await node.volumes.set_up(using(OF_CLAIM), pytest.fail)
    assert node.volumes.claimed("u-1") == {"v": disk}
    after = Node(tmp_path)
    assert after.volumes.claimed("u-1") == {"v": disk}
    await after.volumes.release("u-1")
    assert after.volumes.claimed("u-1") == {}
    assert (disk / "data").is_dir()


async def test_a_local_volume_must_be_there(tmp_path: Path) -> None:
    volume = _but(VOLUME, "spec", nfs=None, local={"path": str(tmp_path / "disk")})
    del volume["spec"]["nfs"]
    node = Node(tmp_path, claim=CLAIM, volume=volume)
    path = tmp_path / "disk"
    assert await node.fails(using(OF_CLAIM)) == [
        f'MountVolume.NewMounter initialization failed for volume "volume" : path "{path}" does not exist'
    ]
    path.mkdir()
    await node.volumes.set_up(using(OF_CLAIM), pytest.fail)
    (mount,) = await node.volumes.mounts(using(OF_CLAIM), using(OF_CLAIM)["spec"]["containers"][0], {})
    assert (mount.source, mount.read_only) == (str(path), True)


async def test_a_server_that_does_not_answer_holds_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the pod's worker nor, when it is deleted, its end."""
    answers, calls = asyncio.Event(), []

    async def mount(*arguments: Any) -> None:
        calls.append(arguments)
        await answers.wait()

    monkeypatch.setattr(network_fs, "set_up", mount)
    monkeypatch.setattr(manager, "_PATIENCE", 0.001)
    node = Node(tmp_path, claim=CLAIM, volume=VOLUME)
    for _ in range(2):
        assert await node.fails(using(OF_CLAIM)) == []
    answers.set()
    await asyncio.sleep(0)
    await node.volumes.set_up(using(OF_CLAIM), pytest.fail)
    assert len(calls) == 1
    answers.clear()
    await node.fails(using(OF_CLAIM))
    async with asyncio.timeout(5):
        await node.volumes.tear_down("u-1")
    assert not node.volumes.pod_directory("u-1").exists()


async def test_volumes_are_released_before_the_rest_of_a_pod(tmp_path: Path) -> None:
    """Twice is as good as once, and of a pod that never had any nothing is made."""
    node = Node(tmp_path)
    directory = node.volumes.pod_directory("u-1")
    await node.volumes.release("u-1")
    assert not directory.exists()
    await node.volumes.set_up(using({"name": "volume", "emptyDir": {}}), pytest.fail)
    assert (directory / "volumes").exists()
    (directory / "verdict").write_text("kept")
    for _ in range(2):
        await node.volumes.release("u-1")
    assert [entry.name for entry in directory.iterdir()] == ["verdict"]


async def test_a_pod_is_taken_down_however_deep_it_has_dug(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for end in (node.volumes.release, node.volumes.tear_down):
        await node.volumes.set_up(using({"name": "v", "emptyDir": {}}), pytest.fail)
        dig(node.file("empty-dir", "v/deep"), "d", DEEP)
        await end("u-1")
        assert not node.file("empty-dir", "v").exists()


@pytest.mark.parametrize("what", ["removed", "looked at"])
async def test_disks_that_take_long_hold_no_other_volume(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large directories that are removed, and paths of the machine on servers that do not answer."""
    goes_on, begun = threading.Event(), threading.Event()

    def takes_long(*_: Any) -> None:
        begun.set()
        goes_on.wait()

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    monkeypatch.setattr(trees, "remove", takes_long)
    monkeypatch.setattr(host_path, "set_up", takes_long)
    monkeypatch.setattr(manager, "_PATIENCE", 0.05)
    node = Node(tmp_path, c={"data": {"a": "1"}})
    node.volumes.pod_directory("u-2").mkdir(parents=True)
    if what == "removed":
        long = asyncio.create_task(node.volumes.tear_down("u-2"))
    else:
        elsewhere = using({"name": "h", "hostPath": {"path": "/dead"}})
        elsewhere["metadata"]["uid"] = "u-2"
        long = asyncio.create_task(node.volumes.set_up(elsewhere, pytest.fail))
    try:
        while not begun.is_set():  # noqa: ASYNC110 - it is a thread that says so
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            await node.volumes.set_up(using({"name": "c", "configMap": {"name": "c"}}), pytest.fail)
            if what == "looked at":
                with pytest.raises(VolumeError, match=r"unmounted volumes=\[h\]"):
                    await long
                await node.volumes._clear("u-2", lambda *_: None)
    finally:
        goes_on.set()
        await asyncio.gather(long, return_exceptions=True)


async def test_a_group_is_no_longer_given_what_its_pod_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree of a million files is not gone through for a pod that has been deleted."""
    for name in range(50):
        (tmp_path / "disk" / str(name)).mkdir(parents=True)
    given: list[str] = []
    begun, goes_on = threading.Event(), threading.Event()

    def give(name: str, *_: Any) -> None:
        given.append(name)
        begun.set()
        goes_on.wait(5)

    monkeypatch.setattr(ownership, "_give", give)
    giving = asyncio.create_task(kinds._give(tmp_path / "disk", 1234, False))
    while not begun.is_set():  # noqa: ASYNC110 - it is a thread that says so
        await asyncio.sleep(0.001)
    giving.cancel()
    await asyncio.gather(giving, return_exceptions=True)
    goes_on.set()
    await FOREIGN.run(time.sleep, 0.05)
    assert len(given) == 1


@pytest.mark.parametrize(
    ("source", "options", "read_only", "expected"),
    [
        ({"server": "s", "path": "/p"}, (), False, ["-t", "nfs", "s:/p", "/d"]),
        ({"server": "s", "path": "/p"}, ("hard", "nfsvers=4.1"), False,
         ["-t", "nfs", "-o", "hard,nfsvers=4.1", "s:/p", "/d"]),
        ({"server": "s", "path": "/p", "readOnly": True}, ("hard",), False, ["-t", "nfs", "-o", "ro,hard", "s:/p", "/d"]),
        ({"server": "fd00::1", "path": "/p"}, ("ro",), True, ["-t", "nfs", "-o", "ro", "[fd00::1]:/p", "/d"]),
    ],
    ids=["plain", "options", "read-only", "IPv6"],
)  # fmt: skip
def test_how_nfs_is_mounted(source: Obj, options: tuple[str, ...], read_only: bool, expected: list[str]) -> None:
    assert network_fs.arguments(source, Path("/d"), options, read_only) == expected


# emptyDir.


@pytest.mark.parametrize(
    ("limit", "containers", "expected"),
    [
        (None, [None], 1 << 30),
        ("64Mi", [None], 64 << 20),
        ("2Gi", [None], 1 << 30),
        ("64Mi", ["32Mi"], 32 << 20),
        (None, ["32Mi", "32Mi"], 64 << 20),
        (None, ["32Mi", None], 1 << 30),
    ],
    ids=["the node's", "its own", "no more than the node's", "the container's", "all containers'", "one unbounded"],
)
def test_memory_is_bounded_by_the_least(limit: str | None, containers: list[str | None], expected: int) -> None:
    """KEP-1967: min(node allocatable, pod's limit, sizeLimit)."""
    obj = pod(*(f"c{n}" for n in range(len(containers))))
    for container, memory in zip(obj["spec"]["containers"], containers, strict=True):
        container["resources"] = {"limits": {"memory": memory} if memory else {}}
    source = {"medium": "Memory", **({"sizeLimit": limit} if limit else {})}
    assert empty_dir.memory_size(source, obj, {"memory": "1Gi"}) == expected


def test_an_empty_dir_is_the_pods_once_it_was_made(tmp_path: Path) -> None:
    directory, marker = tmp_path / "v", tmp_path / "plugins" / "ready"
    empty_dir.set_up({}, directory, marker, 0, os.getgid())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o2777
    directory.chmod(0o700)
    empty_dir.set_up({}, directory, marker, 0, os.getgid())
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


# fsGroup.


def test_a_group_is_given_everything_but_what_links_lead_to(tmp_path: Path) -> None:
    volume, outside = tmp_path / "v", tmp_path / "outside"
    (volume / "d").mkdir(parents=True, mode=0o700)
    outside.mkdir(mode=0o700)
    (volume / "d" / "f").write_text("")
    (volume / "d" / "f").chmod(0o600)
    (volume / "link").symlink_to(outside)
    ownership.give(volume, os.getgid())
    assert stat.S_IMODE((volume / "d" / "f").stat().st_mode) == 0o660
    assert stat.S_IMODE((volume / "d").stat().st_mode) == 0o2770
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700
    (volume / "d" / "f").chmod(0o600)
    ownership.give(volume, os.getgid(), only_on_mismatch=True)
    assert stat.S_IMODE((volume / "d" / "f").stat().st_mode) == 0o600
    volume.chmod(0o700)
    ownership.give(volume, os.getgid(), only_on_mismatch=True)
    assert stat.S_IMODE((volume / "d" / "f").stat().st_mode) == 0o660


# subPath.


def _reach(volume: Path, path: str) -> os.stat_result:
    descriptor = sub_path.walk(volume, path)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def test_sub_paths_are_found_or_made(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir()
    volume.chmod(0o777)
    (volume / "file").write_text("x")
    (volume / "inside").symlink_to("file")
    assert _reach(volume, "file").st_ino == _reach(volume, "inside").st_ino == (volume / "file").stat().st_ino
    made = _reach(volume, "a/b")
    assert made.st_ino == (volume / "a/b").stat().st_ino and stat.S_IMODE(made.st_mode) == 0o777
    assert _reach(volume, "").st_ino == volume.stat().st_ino


def _link(volume: Path) -> str:
    (volume / "out").symlink_to("/etc")
    return "out"


def _chain(volume: Path) -> str:
    (volume / "a").symlink_to("b")
    (volume / "b").symlink_to("../..")
    return "a/c"


def _new_below_link(volume: Path) -> str:
    (volume / "up").symlink_to("..")
    return "up/made"


@pytest.mark.parametrize("make", [_link, _chain, _new_below_link, lambda _: "../x"])
def test_no_sub_path_leads_out(make: Callable[[Path], str], tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volume.mkdir()
    with pytest.raises(sub_path.Outside):
        sub_path.walk(volume, make(volume))
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_what_was_a_file_may_be_a_directory_for_the_next_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[bool] = []
    monkeypatch.setattr(mounts, "bind", lambda _, target: bound.append(target.is_dir()))
    volume, target = tmp_path / "v", tmp_path / "subpaths" / "0"
    volume.mkdir()
    (volume / "x").touch()
    for _ in range(2):
        sub_path.bind(volume, "x", target)
    (volume / "x").unlink()
    for _ in range(2):
        sub_path.bind(volume, "x", target)
    (volume / "x").rmdir()
    (volume / "x").touch()
    sub_path.bind(volume, "x", target)
    assert bound == [False, False, True, True, False]


def test_a_directory_swapped_for_a_link_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2017-1002101: what was resolved is not what is opened."""
    volume = tmp_path / "v"
    (volume / "d").mkdir(parents=True)
    resolve = os.path.realpath

    def swapped(path: str) -> str:
        found = resolve(path)
        if found.endswith("/d"):
            (volume / "d").rmdir()
            (volume / "d").symlink_to("/etc")
        return found

    monkeypatch.setattr(os.path, "realpath", swapped)
    with pytest.raises(sub_path.Outside):
        sub_path.walk(volume, "d")


# In containers.


def _plan(mount: Obj, environment: dict[str, str] | None = None, able: bool = True) -> container_mounts.Planned:
    container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/m", **mount}]}
    places = {"v": Place(Path("/vol"), False)}
    (planned,) = container_mounts.plan(container, places, environment or {}, Path("/pod"), able)
    return planned


def test_where_mounts_come_from() -> None:
    plain = _plan({"readOnly": True, "mountPropagation": "HostToContainer"})
    assert (plain.mount.source, plain.mount.read_only, plain.mount.propagation) == ("/vol", True, "rslave")
    assert plain.bound is None
    below = _plan({"subPathExpr": "$(NAME)/x", "mountPath": "relative"}, {"NAME": "web"})
    assert (below.sub_path, below.mount.source, below.mount.target) == (
        "web/x", "/pod/volume-subpaths/v/c/0", "/relative",
    )  # fmt: skip
    frozen = _plan({"readOnly": True, "recursiveReadOnly": "Enabled"})
    assert frozen.recursively_read_only and frozen.bound == Path("/pod/volume-subpaths/v/c/0")
    assert not _plan({"readOnly": True, "recursiveReadOnly": "IfPossible"}, able=False).recursively_read_only


@pytest.mark.parametrize(
    ("mount", "text"),
    [
        ({"name": "w"}, 'cannot find volume "w" to mount into container "c"'),
        ({"subPath": "/etc"}, "error SubPath `/etc` must not be an absolute path"),
        ({"subPath": "a/../b"}, "unable to provision SubPath `a/../b`: must not contain '..'"),
        ({"subPathExpr": "$(A)$(B)"}, "missing value for A, B"),
        ({"subPathExpr": "$(BAD)"}, "unable to provision SubPath `../..`: must not contain '..'"),
        ({"recursiveReadOnly": "Enabled"}, "it is not read-only"),
        ({"recursiveReadOnly": "Enabled", "readOnly": True}, "it is not supported by the runtime"),
        ({"recursiveReadOnly": "Enabled", "readOnly": True, "mountPropagation": "HostToContainer"},
         'it is not compatible with propagation "HostToContainer"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_mounts_that_cannot_be(mount: Obj, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _plan(mount, {"BAD": "../.."}, able=False)
    assert text in str(raised.value)


def test_what_status_tells_of_mounts() -> None:
    """VolumeMountStatus: IfPossible is told as what it became; nothing of what may be written."""
    mounts = [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True},
        {"name": "c", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "IfPossible"},
    ]
    assert read_only.status({"volumeMounts": mounts}, True) == [
        {"name": "a", "mountPath": "/a"},
        {"name": "b", "mountPath": "/b", "readOnly": True, "recursiveReadOnly": "Disabled"},
        {"name": "c", "mountPath": "/c", "readOnly": True, "recursiveReadOnly": "Enabled"},
    ]
