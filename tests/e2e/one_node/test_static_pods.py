"""Pods from manifests on the node's disk, and their mirrors; and what else a kubelet of other settings does.

Sources: https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/, test/e2e_node/mirror_pod_test.go.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import manifests
from tests.harness import kubelet
from tests.harness.cluster import Cluster, condition, statuses
from tests.harness.eventually import eventually_sync

Obj = dict[str, Any]


@pytest.fixture(scope="module")
def folder(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("manifests")
    with kubelet.settings(cluster, staticPodPath=str(made), streamingConnectionIdleTimeout="4s"):
        yield made
        for file in made.iterdir():
            file.unlink()
        eventually_sync(lambda: not mirrors(cluster), "no mirror is left", within=40, pause=0.3)


def manifest(name: str, version: str = "1", **spec: Any) -> str:
    script = f"echo version {version}; {manifests.SLEEP}"
    return json.dumps(manifests.pod(name, manifests.shell(script), labels={"v": version}, **spec))


def name_of(cluster: Cluster, name: str) -> str:
    return f"{name}-{cluster.node()['metadata']['name']}"


def mirrors(cluster: Cluster) -> list[Obj]:
    pods = cluster.items("pods", "-A")
    return [p for p in pods if "kubernetes.io/config.mirror" in p["metadata"].get("annotations", {})]


def mirror(cluster: Cluster, name: str, version: str = "1", but: str = "") -> Obj:
    """The ready mirror of this version of a pod; not that of the uid `but`."""

    def ready() -> Obj:
        full = name_of(cluster, name)
        found = next((p for p in cluster.items("pods") if p["metadata"]["name"] == full), None)
        assert found is not None, "there is none"
        assert found["metadata"]["labels"]["v"] == version and "deletionTimestamp" not in found["metadata"]
        assert found["metadata"]["uid"] != but
        assert condition(found, "Ready") == "True", found["status"]
        return found

    return eventually_sync(ready, f"the mirror of {name} is ready", within=40, pause=0.3)


def test_a_manifest_runs_and_is_mirrored(cluster: Cluster, folder: Path) -> None:
    """The mirror is named after the node, owned by it, has no service account, and bears the static pod's uid; what is
    asked of it is asked of the static pod. What is no pod is told as an event, and hinders nobody."""
    (folder / "good.yaml").write_text(manifest("good"))
    (folder / "torn.yaml").write_text("{")
    (folder / "odd.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: odd, labels: {a: !!binary aGk=}}}")
    secret = [{"name": "s", "secret": {"secretName": "s"}}]
    (folder / "needs.json").write_text(manifest("needs", volumes=secret))
    pod = mirror(cluster, "good")
    meta = pod["metadata"]
    marks = {k.rpartition(".")[2]: v for k, v in meta["annotations"].items() if k.startswith("kubernetes.io/config.")}
    assert marks["source"] == "file" and marks["mirror"] == marks["hash"] != meta["uid"] and marks["seen"]
    node = cluster.node()["metadata"]
    assert meta["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": node["name"], "uid": node["uid"], "controller": True}
    ]
    assert "serviceAccountName" not in pod["spec"] and not pod["spec"].get("volumes")
    assert {"effect": "NoExecute", "operator": "Exists"} in pod["spec"]["tolerations"]
    assert "observedGeneration" not in pod["status"] and pod["status"]["podIP"]
    labels = json.loads(
        cluster.docker("inspect", "-f", "{{json .Config.Labels}}", statuses(pod)["main"]["containerID"][9:])
    )
    assert labels["io.kubernetes.pod.uid"] == marks["hash"]
    assert cluster.kubectl("logs", meta["name"]).stdout == "version 1\n"
    assert cluster.kubectl("exec", meta["name"], "--", "echo", "hi").stdout == "hi\n"

    def told() -> bool:
        said = [e["message"] for e in cluster.events("default", "FailedValidation")]
        for name in ("torn", "odd"):
            assert any(f"{name}.yaml: couldn't parse as pod" in m for m in said), said
        assert any("needs.json: static pods may not reference secrets" in m for m in said), said
        return True

    eventually_sync(told, "all mistakes are told")


def test_a_mirror_that_is_deleted_comes_back(cluster: Cluster, folder: Path) -> None:
    """Gracefully or by force: the mirror is another, the containers are the same (mirror_pod_test.go)."""
    (folder / "good.yaml").write_text(manifest("good"))
    before = mirror(cluster, "good")
    old = before
    for grace in ("30", "0"):
        force = ("--force",) if grace == "0" else ()
        name = old["metadata"]["name"]
        cluster.kubectl("delete", "pod", name, f"--grace-period={grace}", "--wait=false", *force)
        new = mirror(cluster, "good", but=old["metadata"]["uid"])
        assert statuses(new)["main"]["containerID"] == statuses(before)["main"]["containerID"]
        assert statuses(new)["main"]["restartCount"] == 0
        old = new


def test_a_stream_on_which_nothing_is_said_is_closed(cluster: Cluster, folder: Path) -> None:
    """streamingConnectionIdleTimeout: in either direction. What talks goes on; the command of what was closed does not."""
    (folder / "good.yaml").write_text(manifest("good"))
    name = mirror(cluster, "good")["metadata"]["name"]
    talking = "for n in 1 2 3 4 5 6 7; do echo $n; sleep 1; done"
    silent = cluster.kubectl("exec", name, "--", "sleep", "43210", check=False, timeout=60)
    assert silent.returncode == 1 and "nothing was said for 4 s" in silent.stderr, silent
    assert cluster.kubectl("exec", name, "--", "sh", "-c", talking).stdout.split() == list("1234567")
    left = cluster.kubectl("exec", name, "--", "sh", "-c", "ps | grep 'sleep 4321[0]' || true").stdout
    assert left == ""


def test_another_version_is_another_pod(cluster: Cluster, folder: Path) -> None:
    """The old one ends before the new one begins; its mirror is replaced (mirror_pod_test.go, static pod updated). Put
    back at once after it was removed, it is the same pod that has restarted (file is removed and recreated)."""
    (folder / "good.yaml").write_text(manifest("good"))
    before = mirror(cluster, "good")
    (folder / "good.yaml").write_text(manifest("good", "2"))
    after = mirror(cluster, "good", "2")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert statuses(after)["main"]["restartCount"] == 0
    assert cluster.kubectl("logs", after["metadata"]["name"]).stdout == "version 2\n"
    assert after["status"]["startTime"] >= before["status"]["startTime"]
    text = (folder / "good.yaml").read_text()
    (folder / "good.yaml").unlink()
    (folder / "good.yaml").write_text(text)

    def restarted() -> bool:
        now = mirror(cluster, "good", "2")
        return bool(statuses(now)["main"]["restartCount"] == 1)

    eventually_sync(restarted, "it has restarted once", within=40, pause=0.3)


def test_a_killed_kubelet_finds_them_again(cluster: Cluster, folder: Path) -> None:
    """kill -9 restarts no container and makes no other mirror; a manifest that went meanwhile ends its pod."""
    (folder / "stays.yaml").write_text(manifest("stays"))
    (folder / "goes.yaml").write_text(manifest("goes"))
    before, goes = mirror(cluster, "stays"), mirror(cluster, "goes")
    cluster.kill(cluster.pid("-m", "kubelet"))
    (folder / "goes.yaml").unlink()
    gone = goes["metadata"]["name"]
    eventually_sync(
        lambda: gone not in [p["metadata"]["name"] for p in cluster.items("pods")], "one is gone", within=40, pause=0.3
    )
    after = mirror(cluster, "stays")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert statuses(after)["main"] == statuses(before)["main"]
    assert after["status"]["startTime"] == before["status"]["startTime"]
    assert running(cluster, "goes") == []


def test_they_run_without_an_apiserver(cluster: Cluster, folder: Path) -> None:
    """What the apiserver itself needs must not need it: a kubelet that begins while nobody answers runs them, on the
    pod network too, and mirrors them when somebody does."""
    (folder / "stays.yaml").write_text(manifest("stays"))
    before = mirror(cluster, "stays")
    apiserver = cluster.pid("-m", "apiserver")
    old = cluster.pid("-m", "kubelet")
    os.kill(apiserver, signal.SIGSTOP)
    try:
        cluster.kill(old)
        (folder / "first.yaml").write_text(manifest("first"))
        eventually_sync(lambda: running(cluster, "first"), "it runs", within=40, pause=0.3)
        (folder / "then.yaml").write_text(manifest("then"))
        eventually_sync(lambda: running(cluster, "then"), "so does one that comes later", within=40, pause=0.3)
    finally:
        os.kill(apiserver, signal.SIGCONT)
    pod = mirror(cluster, "first")
    assert pod["status"]["podIP"] and statuses(pod)["main"]["restartCount"] == 0
    mirror(cluster, "then")
    assert statuses(mirror(cluster, "stays"))["main"]["containerID"] == statuses(before)["main"]["containerID"]


def running(cluster: Cluster, name: str) -> list[str]:
    """Running containers of the static pod, by Docker's word."""
    label = f"label=io.kubernetes.pod.name={name}-{os.uname().nodename}"
    return cluster.docker("ps", "-q", "--filter", label, "--filter", "label=io.kubernetes.container.name=main").split()
