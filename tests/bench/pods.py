"""One node: from POST to Running beside bare `docker run`, idle cost, and the time `sampan up` takes."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import kubernetes

from tests.bench import memory
from tests.bench.report import Report
from tests.harness import upstream
from tests.harness.cluster import HELLO, Cluster, condition
from tests.harness.eventually import eventually_sync

_SINGLE = 10
_MANY = 30
_FULL = 110
_IDLE_SECONDS = 60
_NETWORK = "bench"


@contextmanager
def _cluster(directory: Path) -> Iterator[Cluster]:
    cluster = Cluster(directory, 1, upstream.kubectl_path())
    try:
        yield cluster
    finally:
        cluster.reset()


def measure(report: Report, directory: Path) -> None:
    with _cluster(directory) as cluster:
        cluster.up("--no-example")  # installs images and certificates; the second start is what is measured
        cluster.sampan("down")
        began = time.perf_counter()
        cluster.up("--no-example")
        eventually_sync(lambda: condition(cluster.node(), "Ready") == "True", "the node is ready", within=30)
        report.add(
            "`sampan up` on an installed machine → node Ready", f"{time.perf_counter() - began:.1f} s", goal="≤ 4 s"
        )
        client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
        core = kubernetes.client.CoreV1Api(client)
        cluster.docker("network", "create", _NETWORK)
        try:
            _one(report, cluster, core)
            _many(report, cluster, core)
        finally:
            cluster.docker("network", "rm", _NETWORK)
        _idle(report, cluster)
        _idle_pods(report, cluster, core)


def _body(name: str) -> dict[str, object]:
    container = {"name": "main", "image": HELLO, "command": ["sleep", "3600"]}
    return {"metadata": {"name": name}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}


def _bare_run(cluster: Cluster, name: str) -> None:
    """What a pod is to Docker: a sandbox on a bridge network, and a container that joins it there."""
    cluster.docker("run", "-d", "--network", _NETWORK, "--name", f"{name}-sandbox", HELLO, "sleep", "3600")
    cluster.docker(
        "run", "-d", "--name", f"{name}-main", "--network", f"container:{name}-sandbox", HELLO, "sleep", "3600"
    )


def _bare_remove(cluster: Cluster, names: list[str]) -> None:
    cluster.docker("rm", "-f", *[f"{n}-{part}" for n in names for part in ("main", "sandbox")])


def _until_running(core: kubernetes.client.CoreV1Api, names: set[str], create: object) -> float:
    """Seconds from the first POST until a watch has shown every pod Running."""
    watch = kubernetes.watch.Watch()
    revision = core.list_namespaced_pod("default").metadata.resource_version
    waiting = set(names)
    began = time.perf_counter()
    creator = threading.Thread(target=create)  # type: ignore[arg-type]  # a function without arguments
    creator.start()
    for event in watch.stream(core.list_namespaced_pod, "default", resource_version=revision, timeout_seconds=300):
        if event["object"].status.phase == "Running":
            waiting.discard(event["object"].metadata.name)
        if not waiting:
            watch.stop()
    creator.join()
    if waiting:
        raise RuntimeError(f"never Running: {waiting}")
    return time.perf_counter() - began


def _gone(core: kubernetes.client.CoreV1Api) -> None:
    core.delete_collection_namespaced_pod("default", grace_period_seconds=0)
    eventually_sync(lambda: not core.list_namespaced_pod("default").items, "all pods are gone", within=60)


def _one(report: Report, cluster: Cluster, core: kubernetes.client.CoreV1Api) -> None:
    ours, bare = [], []
    for number in range(_SINGLE):
        name = f"one-{number}"
        ours.append(_until_running(core, {name}, lambda n=name: core.create_namespaced_pod("default", _body(n))))
        began = time.perf_counter()
        _bare_run(cluster, name)
        bare.append(time.perf_counter() - began)
        _bare_remove(cluster, [name])
    _gone(core)
    middle, bare_middle = sorted(ours)[_SINGLE // 2], sorted(bare)[_SINGLE // 2]
    report.add(
        f"one pod, POST → Running on a watch (median of {_SINGLE})", f"{middle:.2f} s",
        bare=f"{bare_middle:.2f} s (two docker run)", ratio=middle / bare_middle, goal="≤ 0.45 s",
    )  # fmt: skip


def _many(report: Report, cluster: Cluster, core: kubernetes.client.CoreV1Api) -> None:
    names = [f"many-{number}" for number in range(_MANY)]

    def create() -> None:
        for name in names:
            core.create_namespaced_pod("default", _body(name))

    ours = _until_running(core, set(names), create)
    _gone(core)
    began = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: _bare_run(cluster, n), names))
    bare = time.perf_counter() - began
    _bare_remove(cluster, names)
    report.add(
        f"{_MANY} pods on one node, all Running", f"{ours:.1f} s",
        bare=f"{bare:.1f} s ({_MANY / bare:.1f} pairs/s)", ratio=ours / bare, goal="≤ 6.5 s",
    )  # fmt: skip


def _idle(report: Report, cluster: Cluster) -> None:
    ours = {pid: line for pid, line in cluster.processes().items() if "--initial-cluster-state" not in line}
    total = sum(memory.rss(pid) for pid in ours)
    for pid, line in ours.items():
        print(f"    {memory.mb(memory.rss(pid)):>8}  {line[:100]}")
    report.add("control plane + node agents, idle RSS without etcd", memory.mb(total), goal="≤ 300 MB")
    everything = list(cluster.processes())
    used = memory.cpu(everything)
    time.sleep(_IDLE_SECONDS)  # what is measured is what happens while nothing does
    share = (memory.cpu(everything) - used) / _IDLE_SECONDS
    report.add("idle CPU, everything, one node", f"{share * 100:.1f} % of a core", goal="≤ 3 %")


def _idle_pods(report: Report, cluster: Cluster, core: kubernetes.client.CoreV1Api) -> None:
    """What a kubelet costs whose pods just run."""
    names = [f"idle-{number}" for number in range(_FULL)]

    def create() -> None:
        for name in names:
            core.create_namespaced_pod("default", _body(name))

    _until_running(core, set(names), create)
    kubelet = cluster.pid("-m", "kubelet")
    used = memory.cpu([kubelet])
    time.sleep(_IDLE_SECONDS)  # as above
    share = (memory.cpu([kubelet]) - used) / _IDLE_SECONDS
    report.add(f"kubelet, CPU with {_FULL} idle pods", f"{share * 100:.1f} % of a core", goal="≤ 3 %")
    report.add(f"kubelet, RSS with {_FULL} idle pods", memory.mb(memory.rss(kubelet)), goal="≤ 90 MB")
    _gone(core)


def docker_is_there() -> bool:
    done = subprocess.run(["docker", "version", "--format", "{{json .Server}}"], capture_output=True, check=False)
    return done.returncode == 0 and json.loads(done.stdout or "null") is not None
