"""What a node and its pods use: control groups of both versions, networks, and the Summary made of them."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.clock import FakeClock
from kubelet.pods.model import Container, PodContainers
from kubelet.stats import network
from kubelet.stats import stats as stats_module
from kubelet.stats.cgroups import Hierarchy, meminfo, parse_pressure
from kubelet.stats.filesystems import Filesystem
from kubelet.stats.model import DiskUsage, Interface, Look, PodUsage, Reading
from kubelet.stats.stats import Stats, volume_directories
from kubelet.stats.summary import Surroundings, summary
from kubelet.volumes.usage import Usage, usage

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "c0ffee" * 10

V1 = {
    "cpuacct": {"cpuacct.usage": "2000000000\n", "cpuacct.stat": "user 150\nsystem 50\n"},
    "cpu": {"cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 300000000\n"},
    "memory": {
        "memory.usage_in_bytes": "1000000\n",
        "memory.stat": "inactive_file 7\ntotal_inactive_file 400000\ntotal_rss 500000\ntotal_cache 450000\n"
        "total_mapped_file 1000\ntotal_swap 5\ntotal_pgfault 77\ntotal_pgmajfault 3\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.max_usage_in_bytes": "1100000\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
    "pids": {"pids.current": "6\n"},
}
V2 = {
    "cpu.stat": "usage_usec 2000000\nuser_usec 1500000\nsystem_usec 500000\nnr_periods 10\nnr_throttled 4\n"
    "throttled_usec 300000\n",
    "memory.current": "1000000\n",
    "memory.stat": "anon 500000\nfile 450000\nfile_mapped 1000\ninactive_file 400000\npgfault 77\npgmajfault 3\n",
    "memory.max": "max\n",
    "memory.swap.current": "5\n",
    "memory.swap.max": "100\n",
    "memory.peak": "1100000\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n",
    "pids.current": "6\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.20 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
}
EXPECTED = Reading(
    cpu=2 * 10**9, user=15 * 10**8, system=5 * 10**8, periods=10, throttled_periods=4, throttled=3 * 10**8,
    memory=1000000, inactive_file=400000, rss=500000, cache=450000, mapped=1000, swap=5, faults=77, major_faults=3,
    limit=0, peak=1100000, oom_kills=2, pids=6,
)  # fmt: skip


def write(directory: Path, files: dict[str, str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text)


def process(proc: Path, pid: int, groups: str) -> None:
    write(proc / str(pid), {"cgroup": groups})


def test_version_1_has_a_tree_per_controller(tmp_path: Path) -> None:
    """The units differ: cpuacct.stat counts hundredths of a second, cpu.stat nanoseconds; a huge limit is none."""
    for controller, files in V1.items():
        write(tmp_path / "cg" / controller / "docker" / ID, files)
    process(tmp_path, 7, "".join(f"{n}:{c}:/docker/{ID}\n" for n, c in enumerate(V1)) + f"0::/docker/{ID}\n")
    hierarchy = Hierarchy(tmp_path / "cg", tmp_path)
    groups = hierarchy.of_process(7, ID)
    assert groups is not None and not hierarchy.unified
    assert hierarchy.read(groups) == EXPECTED
    assert hierarchy.read(groups).working_set == 600000


def test_version_1_controllers_that_share_a_tree(tmp_path: Path) -> None:
    write(tmp_path / "cg" / "cpu" / "docker" / ID, V1["cpu"])
    process(tmp_path, 7, f"4:cpu,cpuacct:/docker/{ID}\n")
    groups = Hierarchy(tmp_path / "cg", tmp_path).of_process(7, ID)
    assert groups == {c: tmp_path / "cg" / c / "docker" / ID for c in ("cpu", "cpuacct")}


def test_version_2_has_one_tree(tmp_path: Path) -> None:
    """With the systemd driver a container's group is system.slice/docker-ID.scope."""
    write(tmp_path / "cg", {"cgroup.controllers": "cpu memory pids\n"})
    write(tmp_path / "cg" / "system.slice" / f"docker-{ID}.scope", V2)
    process(tmp_path, 7, f"0::/system.slice/docker-{ID}.scope\n")
    hierarchy = Hierarchy(tmp_path / "cg", tmp_path)
    groups = hierarchy.of_process(7, ID)
    assert groups is not None and hierarchy.unified
    read = hierarchy.read(groups)
    assert read.pressure == {"cpu": parse_pressure(V2["cpu.pressure"])}
    assert read.pressure["cpu"]["some"] == {"avg10": 1.5, "avg60": 0.2, "avg300": 0, "total": 1234}
    assert (read.swap_limit, read.limit) == (100, 0)
    names = [n for n in Reading.__slots__ if n not in ("pressure", "swap_limit")]
    assert all(getattr(read, n) == getattr(EXPECTED, n) for n in names)


@pytest.mark.parametrize("groups", ["", "0::/user.slice/other.scope\n"], ids=["gone", "number used again"])
def test_a_process_that_is_another(tmp_path: Path, groups: str) -> None:
    write(tmp_path / "cg", {"cgroup.controllers": ""})
    process(tmp_path, 7, groups)
    assert Hierarchy(tmp_path / "cg", tmp_path).of_process(7, ID) is None


def test_the_root_of_version_2_asks_meminfo(tmp_path: Path) -> None:
    """libcontainer's cgroups/fs2/memory.go: usage is what is not free; memory.stat is there."""
    write(tmp_path / "cg", {"cgroup.controllers": "", **{k: V2[k] for k in ("cpu.stat", "memory.stat")}})
    write(tmp_path, {"meminfo": "MemTotal: 2000 kB\nMemFree: 500 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n"})
    node = Hierarchy(tmp_path / "cg", tmp_path).node()
    assert (node.memory, node.working_set, node.swap) == (1500 * 1024, 1500 * 1024 - 400000, 6 * 1024)
    assert node.cpu == 2 * 10**9


def test_a_group_that_ends_meanwhile_reads_zero(tmp_path: Path) -> None:
    hierarchy = Hierarchy(tmp_path / "cg", tmp_path)
    assert hierarchy.read({"memory": tmp_path / "gone"}) == Reading()


def test_meminfo_is_in_bytes() -> None:
    assert meminfo("MemTotal:  2 kB\nHugePages_Total: 0\n") == {"MemTotal": 2048, "HugePages_Total": 0}


def test_network_leaves_loopback_out() -> None:
    text = (
        "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes …\n"
        "    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
        "  eth0: 100 2 3 4 0 0 0 0 200 5 6 7 0 0 0 0\n"
    )
    assert network.parse(text) == (Interface("eth0", 100, 2, 3, 4, 200, 5, 6, 7),)


def container(name: str, age: float = 100) -> Container:
    began = MOMENT - timedelta(seconds=age)
    return Container(
        name + ID, "u1", "web", "shop", name, 0, "running", created_at=began, started_at=began,
    )  # fmt: skip


def look(seconds: float, cpu: int, *, of: Container | None = None) -> Look:
    one = of or container("app")
    reading = Reading(cpu=cpu, memory=900, inactive_file=100, rss=700, limit=1000, pids=2)
    pod = PodUsage(container("POD"), {one.name: (one, reading)}, (Interface("eth0", 1, 2, 0, 0, 3, 4, 0, 0),))
    return Look(MOMENT + timedelta(seconds=seconds), seconds, Reading(cpu=5 * cpu, memory=5000), {"u1": pod})


AROUND = Surroundings(
    "one", MOMENT, 2, 10000, Filesystem(1000, 600, 50, 40), Filesystem(2000, 500, 70, 30), 123, 4000, 99, Reading(cpu=7),
    MOMENT, {"u1": {"data": "claim"}},
)  # fmt: skip
DISKS = {
    "u1": DiskUsage(
        {"app": Usage(10, 1)},
        {"app": Usage(20, 2)},
        {"data": Usage(40, 3), "secret": Usage(80, 4)},
        {"secret": Filesystem(8000, 7000, 5, 1)},
    )
}


def test_summary_of_a_pod() -> None:
    """cri_stats_provider.go: rates between two looks, available = limit - working set; in-memory volumes are no
    ephemeral storage."""
    found = summary(look(0, 10**9), look(10, 2 * 10**9), AROUND, DISKS)
    (pod,) = found["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "shop", "uid": "u1"}
    (app,) = pod["containers"]
    assert app["cpu"] == {"time": "2026-01-02T03:04:15Z", "usageNanoCores": 10**8, "usageCoreNanoSeconds": 2 * 10**9}
    assert (app["memory"]["workingSetBytes"], app["memory"]["availableBytes"]) == (800, 200)
    assert (app["rootfs"]["usedBytes"], app["rootfs"]["capacityBytes"], app["logs"]["inodesUsed"]) == (10, 2000, 2)
    assert pod["cpu"]["usageNanoCores"] == 10**8
    assert (pod["network"]["name"], pod["network"]["rxBytes"], len(pod["network"]["interfaces"])) == ("eth0", 1, 1)
    volumes = {v["name"]: v for v in pod["volume"]}
    assert volumes["data"]["pvcRef"] == {"name": "claim", "namespace": "shop"}
    assert (volumes["data"]["capacityBytes"], volumes["secret"]["capacityBytes"]) == (1000, 8000)
    assert (pod["ephemeral-storage"]["usedBytes"], pod["ephemeral-storage"]["inodesUsed"]) == (70, 6)
    assert pod["process_stats"] == {"process_count": 2}


def test_summary_of_the_node() -> None:
    node = summary(look(0, 10**9), look(10, 2 * 10**9), AROUND, DISKS)["node"]
    assert node["cpu"]["usageNanoCores"] == 5 * 10**8
    assert (node["memory"]["availableBytes"], node["fs"]["usedBytes"]) == (5000, 400)
    assert node["runtime"]["imageFs"]["usedBytes"] == 123
    assert node["runtime"]["containerFs"]["usedBytes"] == 10
    assert (node["rlimit"]["maxpid"], node["rlimit"]["curproc"]) == (4000, 99)
    assert [c["name"] for c in node["systemContainers"]] == ["kubelet", "pods"]


def test_summary_of_cpu_and_memory_alone() -> None:
    found = summary(look(0, 1), look(10, 2), AROUND, None)
    assert {"fs", "network", "runtime", "rlimit"}.isdisjoint(found["node"])
    assert {"network", "volume", "ephemeral-storage"}.isdisjoint(found["pods"][0])


def test_a_container_that_began_between_two_looks() -> None:
    """Its rate is that of its own life, whatever the container before it had used."""
    young = replace(container("app", age=0), id="new" + ID)
    found = summary(look(0, 10**12), look(5, 10**9, of=young), AROUND, None)
    assert found["pods"][0]["containers"][0]["cpu"]["usageNanoCores"] == 2 * 10**8


class Containers:
    """An observer of one pod whose container's control group says how much CPU it has used."""

    def __init__(self, *running: Container) -> None:
        self.running = running

    def pods(self) -> list[str]:
        return ["u1"]

    def of_pod(self, _: str) -> PodContainers:
        return PodContainers.of(self.running)


async def test_looks_are_shared_and_rates_are_of_some_ten_seconds(tmp_path: Path) -> None:
    """A look costs some reads per container: who can do with an older one gets that."""
    clock = FakeClock()
    stats = Stats(Containers(container("app")), tmp_path, clock, lambda _: {})  # type: ignore[arg-type]  # what is asked
    asking = asyncio.gather(stats.look(5), stats.look(5), stats.look(5))
    one, two, three = await asking
    assert one is two is three
    clock.advance(4)
    assert await stats.look(5) is one
    clock.advance(4)
    later = await stats.look(5)
    assert later is not one
    before, last = await stats.pair(5)
    assert (before, last) == (one, later)
    clock.advance(4)
    assert (await stats.pair())[0] is one
    clock.advance(4)
    before, last = await stats.pair()
    assert last.at - before.at >= 4 and before is not one
    clock.advance(1000)
    waiting = asyncio.create_task(stats.pair())
    while not waiting.done():  # the first in a long time waits a second for a second look
        await clock.run_for(0.5)
        await asyncio.sleep(0.01)
    before, last = waiting.result()
    assert 1 <= last.at - before.at < 3


async def test_disks_are_measured_as_often_as_is_cheap(tmp_path: Path) -> None:
    clock = FakeClock()
    data = tmp_path / "pods" / "u1" / "volumes" / "kubernetes.io~empty-dir" / "data"
    data.mkdir(parents=True)
    (tmp_path / "log").write_bytes(b"x" * 7)
    (tmp_path / "log.1").write_bytes(b"x" * 5)
    app = replace(container("app"), log_path=str(tmp_path / "log"), layer=str(data.parent))
    stats = Stats(Containers(app), tmp_path, clock, lambda _: {"claim": tmp_path})  # type: ignore[arg-type]  # the same
    first = (await stats.disk(["u1"]))["u1"]
    assert first.logs == {"app": Usage(12, 2)} and first.layers["app"].inodes == 2
    assert first.volumes["claim"].bytes > 0 and "claim" in first.filesystems
    assert first.ephemeral.inodes == 2 + 2 + 1
    (data / "file").touch()
    clock.advance(5)
    assert (await stats.disk(["u1"]))["u1"] is first
    clock.advance(6)
    assert (await stats.disk(["u1"]))["u1"].volumes["data"].inodes == 2


def test_only_a_pods_own_volumes_are_measured(tmp_path: Path) -> None:
    """Storage mounted into the pod's directory is not the pod's."""
    for name in ("kubernetes.io~empty-dir/scratch", "kubernetes.io~configmap/conf", "kubernetes.io~nfs/share"):
        (tmp_path / "volumes" / name).mkdir(parents=True)
    assert sorted(p.name for p in volume_directories(tmp_path)) == ["conf", "scratch"]


async def test_one_pod_that_cannot_be_measured_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pod may do to its own directories: a file system in there that answers no more, and so on."""
    clock = FakeClock()
    for path in ("u1/volumes/kubernetes.io~empty-dir/dead", "u1/volumes/kubernetes.io~empty-dir/data", "u2/volumes"):
        (tmp_path / "pods" / path).mkdir(parents=True)

    def measured(path: Path) -> Usage:
        if path.name == "dead":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return usage(path)

    monkeypatch.setattr(stats_module, "usage", measured)
    stats = Stats(Containers(container("app")), tmp_path, clock, lambda _: {"claim": tmp_path / "none"})  # type: ignore[arg-type]  # what is asked
    found = await stats.disk(["u1", "u2", "u3"])
    assert list(found) == ["u1", "u2"] and list(found["u1"].volumes) == ["data"]
    monkeypatch.setattr(stats, "_measure", lambda uid, _: _fail() if uid == "u1" else found["u2"])
    clock.advance(11)
    assert list(await stats.disk(["u1", "u2"])) == ["u2"]


def _fail() -> None:
    raise OSError(errno.EIO, "Input/output error")


async def test_what_a_pod_writes_into_files_of_the_kubelet_is_its_own(tmp_path: Path) -> None:
    """CVE-2020-8557."""
    directory = tmp_path / "pods" / "u1"
    for file in ("etc-hosts", "resolv.conf", "containers/app/0"):
        (directory / file).parent.mkdir(parents=True, exist_ok=True)
        (directory / file).write_bytes(b"x" * 100_000)
    found = (await Stats(Containers(container("app")), tmp_path, FakeClock(), lambda _: {}).disk(["u1"]))["u1"]  # type: ignore[arg-type]  # what is asked
    assert 300_000 <= found.ephemeral.bytes < 400_000
    assert found.ephemeral.inodes == 5
