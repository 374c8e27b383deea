"""The main job: apply, look, scale, roll, go back, delete. With upstream's kubectl and with ours."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e import manifests
from tests.harness.cluster import HELLO_NEXT, Cluster, Load, get_text
from tests.harness.eventually import eventually_sync


@pytest.fixture(params=["upstream", "bundled"])
def program(request: pytest.FixtureRequest, cluster: Cluster) -> Path:
    return cluster.upstream_kubectl if request.param == "upstream" else cluster.bundled_kubectl


def test_the_main_job(cluster: Cluster, namespace: str, program: Path, tmp_path: Path) -> None:
    def kubectl(*args: str) -> str:
        return cluster.kubectl(*args, namespace=namespace, program=program).stdout

    file = tmp_path / "web.yaml"
    file.write_text(manifests.web("web", 3, 30111))
    assert kubectl("apply", "-f", str(file)).splitlines() == ["deployment.apps/web created", "service/web created"]
    assert 'deployment "web" successfully rolled out' in kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert kubectl("apply", "-f", str(file)).splitlines() == ["deployment.apps/web unchanged", "service/web unchanged"]

    wide = kubectl("get", "pods", "-o", "wide").splitlines()
    assert wide[0].split() == [
        "NAME",
        "READY",
        "STATUS",
        "RESTARTS",
        "AGE",
        "IP",
        "NODE",
        "NOMINATED",
        "NODE",
        "READINESS",
        "GATES",
    ]
    assert [line.split()[1:3] for line in wide[1:]] == [["1/1", "Running"]] * 3

    name = wide[1].split()[0]
    described = kubectl("describe", "pod", name)
    for line in (
        f"Name:             {name}",
        "Controlled By:  ReplicaSet/web-",
        "Successfully assigned",
        "Container started",
    ):
        assert line in described, described
    assert f"serving on port 8080 as {name}" in kubectl("logs", name)
    assert kubectl("exec", name, "--", "sh", "-c", "hostname") == f"{name}\n"

    kubectl("scale", "deployment/web", "--replicas=5")
    cluster.wait_ready("app=web", 5, namespace)

    kubectl("set", "image", "deployment/web", f"web={HELLO_NEXT}")
    kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    assert {p["spec"]["containers"][0]["image"] for p in cluster.ready_pods("app=web", namespace)} == {HELLO_NEXT}
    assert "version 2" in get_text(f"http://{cluster.node_ip()}:30111")

    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    assert "version 1" in get_text(f"http://{cluster.node_ip()}:30111")

    kubectl("delete", "-f", str(file))
    eventually_sync(lambda: not cluster.items("pods", namespace=namespace), "all pods are gone", within=60)


def test_exec_gives_back_the_exit_code(cluster: Cluster, namespace: str, program: Path) -> None:
    cluster.apply(manifests.documents(manifests.pod("p", manifests.shell(manifests.SLEEP))), namespace)
    cluster.wait_ready("app=p", 1, namespace)
    done = cluster.kubectl("exec", "p", "--", "sh", "-c", "exit 3", namespace=namespace, program=program, check=False)
    assert done.returncode == 3
    assert "command terminated with exit code 3" in done.stderr
    echoed = cluster.kubectl("exec", "-i", "p", "--", "cat", namespace=namespace, program=program, stdin="through")
    assert echoed.stdout == "through"


def test_logs_are_followed_to_the_end(cluster: Cluster, namespace: str, program: Path) -> None:
    script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.5; done"
    cluster.apply(manifests.documents(manifests.pod("p", manifests.shell(script), restartPolicy="Never")), namespace)
    eventually_sync(
        lambda: cluster.get("pod", "p", namespace=namespace)["status"]["phase"] in ("Running", "Succeeded"),
        "the pod has started", within=30,
    )  # fmt: skip
    followed = cluster.kubectl("logs", "-f", "p", namespace=namespace, program=program, timeout=60)
    assert followed.stdout.splitlines() == [f"line {i}" for i in range(1, 6)]


def test_requests_are_spread_by_cluster_ip_and_node_port(cluster: Cluster, namespace: str) -> None:
    cluster.apply(manifests.web("web", 3, 30112), namespace)
    pods = {p["metadata"]["name"] for p in cluster.wait_ready("app=web", 3, namespace)}
    cluster_ip = cluster.get("service", "web", namespace=namespace)["spec"]["clusterIP"]
    for url in (f"http://{cluster_ip}", f"http://{cluster.node_ip()}:30112"):
        eventually_sync(lambda url=url: get_text(url), f"{url} answers", within=10)
        seen = Counter(get_text(url).split(",")[0].removeprefix("Hello from ") for _ in range(90))
        assert set(seen) == pods
        assert min(seen.values()) >= 10, seen


def test_a_rolling_update_under_load_fails_no_request(cluster: Cluster, namespace: str) -> None:
    """Three replicas with a readiness probe and a preStop sleep of 2 s; 50 requests a second from the machine."""
    cluster.apply(manifests.web("web", 3, 30113), namespace)
    cluster.wait_ready("app=web", 3, namespace)
    url = f"http://{cluster.node_ip()}:30113"
    eventually_sync(lambda: get_text(url), "the service answers", within=10)
    with Load(url, per_second=50) as load:
        eventually_sync(lambda: len(load.answers) > 50, "the load runs", within=10)
        cluster.kubectl("set", "image", "deployment/web", f"web={HELLO_NEXT}", namespace=namespace)
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s", namespace=namespace, timeout=150)
        done = len(load.answers)
        eventually_sync(lambda: len(load.answers) > done + 200, "the load goes on after the rollout", within=20)
    assert not load.failures, (len(load.answers), load.failures[:10])
    assert "version 1" in load.answers[0]
    assert "version 2" in load.answers[-1]


def test_the_outputs_of_both_kubectls_agree(cluster: Cluster, namespace: str) -> None:
    """Ages and random names aside, both print the same."""
    cluster.apply(manifests.web("web", 2), namespace)
    cluster.wait_ready("app=web", 2, namespace)
    name = cluster.pods("app=web", namespace)[0]["metadata"]["name"]
    for args in (
        ("get", "pods"),
        ("get", "pods", "-o", "name"),
        ("get", "pods", "-o", "wide"),
        ("get", "pods,services,deployments"),
        ("get", "deployment", "web", "-o", "yaml"),
        ("get", "deployment", "web", "-o", "json"),
        ("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"),
        ("get", "nodes", "-o", "wide"),
        ("get", "pods", "-l", "app=nothing"),
        ("get", "pod", "missing"),
        ("get", "nonsense"),
        ("describe", "service", "web"),
        ("rollout", "history", "deployment/web"),
        ("delete", "pod", "missing"),
        ("logs", name),
    ):
        outputs = []
        for program in (cluster.upstream_kubectl, cluster.bundled_kubectl):
            done = cluster.kubectl(*args, namespace=namespace, program=program, check=False)
            outputs.append((done.returncode, _ageless(done.stdout), _ageless(done.stderr)))
        assert outputs[0] == outputs[1], args


def _ageless(text: str) -> str:
    """Without the columns' ages, whose last digit may move between two calls."""
    lines = []
    for line in text.splitlines():
        words = [
            "AGE" if w[:1].isdigit() and w[-1] in "smhd" and w[:-1].replace("m", "").isdigit() else w
            for w in line.split()
        ]
        lines.append(" ".join(words))
    return "\n".join(lines)
