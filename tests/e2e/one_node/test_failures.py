"""Every process is killed in turn; nothing acknowledged is lost and no container restarts."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e import manifests
from tests.harness.cluster import HELLO, Cluster, condition, get_text, statuses
from tests.harness.eventually import eventually_sync

# A word pair that singles out each daemon's command line.
DAEMONS = {
    "etcd": ("--initial-cluster-state", "--quota-backend-bytes"),
    "apiserver": ("-m", "apiserver"),
    "controller": ("-m", "controller"),
    "scheduler": ("-m", "scheduler"),
    "kubelet": ("-m", "kubelet"),
    "proxy": ("-m", "proxy"),
}


def _config_map(name: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": name}})


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_killed_daemon_comes_back(cluster: Cluster, namespace: str, daemon: str) -> None:
    cluster.apply(manifests.web("web", 2), namespace)
    before = cluster.wait_ready("app=web", 2, namespace)
    containers = {p["metadata"]["name"]: statuses(p)["web"]["containerID"] for p in before}
    ip = cluster.get("service", "web", namespace=namespace)["spec"]["clusterIP"]
    eventually_sync(lambda: get_text(f"http://{ip}"), "the service answers")

    cluster.kubectl("create", "-f", "-", namespace=namespace, stdin=_config_map("acknowledged"))
    old = cluster.pid(*DAEMONS[daemon])
    cluster.kill(old)
    assert get_text(f"http://{ip}"), "the service answers while the daemon is down"
    eventually_sync(lambda: cluster.pid(*DAEMONS[daemon]) != old, f"{daemon} is back", within=15)

    def works() -> bool:
        listed = cluster.kubectl("get", "configmap", "acknowledged", "-o", "name", namespace=namespace, check=False)
        assert listed.stdout.strip() == "configmap/acknowledged", listed.stderr
        return cluster.sampan("status", check=False).returncode == 0

    eventually_sync(works, "the cluster is healthy and the write is there", within=40)

    # A whole round trip through every daemon, whichever was killed.
    cluster.kubectl("scale", "deployment/web", "--replicas=3", namespace=namespace)
    after = cluster.wait_ready("app=web", 3, namespace, within=60)
    for pod in after:
        assert statuses(pod)["web"]["restartCount"] == 0
        name = pod["metadata"]["name"]
        assert name not in containers or statuses(pod)["web"]["containerID"] == containers[name]
    assert containers.keys() <= {p["metadata"]["name"] for p in after}


def test_the_supervisor_itself_may_be_killed(cluster: Cluster) -> None:
    """Whatever looks after the daemons is looked after too."""

    # Under systemd the units do this; then there is no such process and systemd itself is the guard.
    def guards() -> set[int]:
        return {pid for pid, line in cluster.processes().items() if re.search("deploy.supervisor", line)}

    first = guards()
    for pid in first:
        cluster.kill(pid)
        eventually_sync(lambda: len(guards() - {pid}) == len(first), "its like is back", within=15)  # noqa: B023
    scheduler = cluster.pid(*DAEMONS["scheduler"])
    cluster.kill(scheduler)
    eventually_sync(lambda: cluster.pid(*DAEMONS["scheduler"]) != scheduler, "the scheduler is back", within=30)


def test_down_leaves_pods_running_and_up_adopts_them(cluster: Cluster, namespace: str) -> None:
    cluster.apply(manifests.web("web", 2), namespace)
    before = cluster.wait_ready("app=web", 2, namespace)
    ip = cluster.get("service", "web", namespace=namespace)["spec"]["clusterIP"]
    eventually_sync(lambda: get_text(f"http://{ip}"), "the service answers")
    cluster.sampan("down")
    for words in DAEMONS.values():
        assert not [line for line in cluster.processes().values() if all(w in line.split(" ") for w in words)]
    assert get_text(f"http://{ip}"), "services work without any daemon"
    cluster.up()
    eventually_sync(lambda: condition(cluster.node(), "Ready") == "True", "the node is ready", within=20)
    after = cluster.wait_ready("app=web", 2, namespace)
    assert {statuses(p)["web"]["containerID"] for p in after} == {statuses(p)["web"]["containerID"] for p in before}


def test_what_docker_has_forgotten_ends_with_its_container(cluster: Cluster, namespace: str) -> None:
    """A daemon killed while it starts a container may leave it "created" although it runs (kubelet/docker/strays.py);
    `python -m tests.faults --victim dockerd-with-live-restore` makes many of those."""
    cluster.apply(manifests.web("web", 1), namespace)
    (pod,) = cluster.wait_ready("app=web", 1, namespace)
    (ours,) = json.loads(cluster.docker("inspect", cluster.container(pod, "web")))
    labels = ours["Config"]["Labels"] | {"io.kubernetes.pod.uid": "gone"}
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    forgotten = cluster.docker("create", *words, HELLO, "sleep", "600").strip()
    groups = Path("/sys/fs/cgroup")
    group = (groups if (groups / "cgroup.controllers").exists() else groups / "memory") / f"docker-{forgotten}.scope"
    group.mkdir()
    process = subprocess.Popen(["sleep", "600"])
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        cluster.kill(cluster.pid(*DAEMONS["kubelet"]))
        eventually_sync(lambda: process.poll() == -signal.SIGKILL, "the process has ended", within=30)
        eventually_sync(lambda: not cluster.docker("ps", "-aq", "--filter", f"id={forgotten}"), "no container is left")
    finally:
        process.kill()
        process.wait()
        group.rmdir()
    assert statuses(cluster.wait_ready("app=web", 1, namespace)[0])["web"]["restartCount"] == 0


def test_what_docker_has_lost_keeps_no_address(cluster: Cluster, namespace: str) -> None:
    """A namespace outlives its pod where a Docker Engine that was killed still held it. It would answer, in the name
    of the pod that is given its address next, that nobody listens."""
    cluster.apply(manifests.web("web", 1), namespace)
    (pod,) = cluster.wait_ready("app=web", 1, namespace)
    lost = "spn0123456789a"
    subprocess.run(["ip", "netns", "add", lost], check=True)
    try:
        subprocess.run(["ip", "link", "add", lost, "type", "veth", "peer", "eth0", "netns", lost], check=True)
        subprocess.run(["ip", "link", "set", lost, "master", "sampan0", "up"], check=True)
        cluster.kill(cluster.pid(*DAEMONS["kubelet"]))
        eventually_sync(lambda: lost not in dict(map(reversed, socket.if_nameindex())), "its port is gone", within=30)
    finally:
        subprocess.run(["ip", "netns", "delete", lost], check=True)
    assert get_text(f"http://{pod['status']['podIP']}:8080"), "the pod's own port stays"
