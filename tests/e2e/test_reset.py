"""`sampan reset` gives the machine back, and touches nothing that is not Sampan's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import manifests
from tests.harness.cluster import Cluster, get_text
from tests.harness.eventually import eventually_sync
from tests.harness.machine_state import difference, snapshot


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[str]:
    """What was there before: a container, a network, a rule, a namespace, another kubeconfig context."""
    socket = "unix:///var/run/docker.sock"

    def run(*argv: str, check: bool = True) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=check).stdout.strip()

    (tmp_path / "empty.tar").write_bytes(b"\0" * 10240)
    run("docker", "-H", socket, "import", str(tmp_path / "empty.tar"), "sampan-test/neighbour:1")
    run("docker", "-H", socket, "network", "create", "neighbour")
    container = run("docker", "-H", socket, "create", "--network", "neighbour", "sampan-test/neighbour:1", "none")
    run("iptables", "-t", "nat", "-N", "NEIGHBOUR")
    run("ip", "netns", "add", "neighbour")
    try:
        yield container
    finally:
        run("ip", "netns", "del", "neighbour", check=False)
        run("iptables", "-t", "nat", "-X", "NEIGHBOUR", check=False)
        run("docker", "-H", socket, "rm", "-f", container, check=False)
        run("docker", "-H", socket, "network", "rm", "neighbour", check=False)
        run("docker", "-H", socket, "rmi", "sampan-test/neighbour:1", check=False)


@pytest.mark.parametrize("nodes", [1, 3])
def test_reset_leaves_the_machine_as_it_was(nodes: int, tmp_path: Path, kubectl: Path, neighbour: str) -> None:
    cluster = Cluster(tmp_path, nodes, kubectl)
    config = cluster.kubeconfig
    config.parent.mkdir(parents=True)
    other = (
        "apiVersion: v1\nkind: Config\nclusters: [{name: other, cluster: {server: 'https://other:6443'}}]\n"
        "contexts: [{name: other, context: {cluster: other, user: other}}]\nusers: [{name: other, user: {token: t}}]\n"
        "current-context: other\n"
    )
    config.write_text(other)
    before = snapshot()
    try:
        cluster.up()
        assert config.stat().st_mode & 0o777 == 0o600
        contexts = cluster.kubectl("config", "get-contexts", "-o", "name").stdout.split()
        assert sorted(contexts) == ["other", "sampan"]
        cluster.apply(manifests.web("web", 3, 30131))
        cluster.wait_ready("app=web", 3, "default")
        eventually_sync(lambda: get_text(f"http://{cluster.node_ip()}:30131"), "the service answers")
    finally:
        cluster.reset()
    after = snapshot()
    assert difference(before, after) == {}
    assert cluster.processes() == {}
    assert not cluster.data.exists()
    contexts = cluster.kubectl("config", "get-contexts", "-o", "name").stdout.split()
    assert contexts == ["other"]


def test_reset_asks_first(tmp_path: Path, kubectl: Path) -> None:
    cluster = Cluster(tmp_path, 1, kubectl)
    cluster.data.mkdir()
    (cluster.data / "mine").write_text("keep")
    done = cluster.sampan("reset", check=False)
    assert done.returncode != 0
    assert (cluster.data / "mine").exists()


def test_up_again_changes_nothing(tmp_path: Path, kubectl: Path) -> None:
    cluster = Cluster(tmp_path, 1, kubectl)
    try:
        cluster.up()
        # A proxy keeps something there as soon as it has rules, which `up` does not wait for.
        eventually_sync(lambda: [*Path("/run/sampan").glob("proxy-*")], "the proxy has settled", within=30)
        before, processes = snapshot(), cluster.processes()
        revision = cluster.get("deployment", "hello")["metadata"]["generation"]
        cluster.up()
        assert difference(before, snapshot()) == {}
        assert cluster.processes() == processes
        assert cluster.get("deployment", "hello")["metadata"]["generation"] == revision
        assert cluster.sampan("status").returncode == 0
    finally:
        cluster.reset()
