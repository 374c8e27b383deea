"""In-place resize of pods (KEP-1287): test/e2e/common/node/pod_resize.go asks the same of a kubelet."""

from __future__ import annotations

import json
from typing import Any

from api import quantities
from tests.e2e import manifests
from tests.e2e.manifests import SLEEP
from tests.harness.cluster import Cluster, statuses
from tests.harness.eventually import eventually_sync

Obj = dict[str, Any]
MEMORY = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
HOG = "head -c 40000000 /dev/zero > /hog/x; touch /hog/full; " + SLEEP
FULL = {"exec": {"command": ["test", "-e", "/hog/full"]}, "periodSeconds": 1}
RESTART = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]


def amounts(cpu: str, memory: str, limit: str = "") -> Obj:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": limit or cpu, "memory": memory}}


def pod(name: str, resources: Obj, script: str = SLEEP, **container: Any) -> Obj:
    hog = {"name": "hog", "emptyDir": {"medium": "Memory"}}
    mounts = [{"name": "hog", "mountPath": "/hog"}]
    return manifests.pod(
        name, manifests.shell(script, resources=resources, volumeMounts=mounts, **container), volumes=[hog]
    )


def resize(cluster: Cluster, namespace: str, name: str, resources: Obj) -> None:
    patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
    cluster.kubectl(
        "patch", "pod", name, "--subresource", "resize", "--patch", json.dumps(patch), namespace=namespace
    )  # fmt: skip


def told(cluster: Cluster, namespace: str, name: str) -> tuple[Obj, dict[str, Obj]]:
    """The container's status, and the pod's conditions that are about a resize."""
    found = cluster.get("pod", name, namespace=namespace)
    conditions = {c["type"]: c for c in found["status"]["conditions"] if c["type"].startswith("PodResize")}
    return statuses(found)["main"], conditions


def has(cluster: Cluster, namespace: str, name: str, resources: Obj) -> bool:
    status, conditions = told(cluster, namespace, name)
    assert not conditions, conditions
    assert status["resources"] == resources and status["allocatedResources"] == resources["requests"], status
    return True


def message(cluster: Cluster, namespace: str, reason: str, name: str) -> str:
    return str(cluster.told(namespace, reason, name)[0]["message"])


def test_pods_are_resized_where_they_run(cluster: Cluster, namespace: str) -> None:
    """cpu and memory change without a restart, or with one where resizePolicy says so; what the node never has is
    Infeasible, a limit below what is in use an Error that is tried again; a restarted kubelet changes nothing."""
    small, large = amounts("50m", "64Mi", "200m"), amounts("100m", "128Mi", "300m")
    pods = (
        pod("in-place", small),
        pod("restarted", small, resizePolicy=RESTART),
        pod("infeasible", small),
        pod("in-use", amounts("50m", "96Mi", "1"), HOG, readinessProbe=FULL),
        manifests.pod("plain", manifests.shell(SLEEP)),
    )
    cluster.apply(manifests.documents(*pods), namespace)
    names = [p["metadata"]["name"] for p in pods]
    for name in names:
        cluster.wait_ready(f"app={name}", 1, namespace)
    assert has(cluster, namespace, "in-place", small)
    assert told(cluster, namespace, "plain")[0]["resources"] == {}
    before = {name: told(cluster, namespace, name)[0]["containerID"] for name in names}

    resize(cluster, namespace, "in-place", large)
    resize(cluster, namespace, "restarted", large)
    resize(cluster, namespace, "infeasible", amounts("4000", "64Mi", "5000"))
    resize(cluster, namespace, "in-use", amounts("50m", "16Mi", "1"))
    for name in ("in-place", "restarted"):
        eventually_sync(lambda n=name: has(cluster, namespace, n, large), f"{name} is resized", within=60)  # type: ignore[misc]
        limit = cluster.kubectl("exec", name, "--", "sh", "-c", MEMORY, namespace=namespace).stdout
        assert int(limit) == 128 << 20
    expected = json.dumps({"containers": [{"name": "main", "resources": {
        "limits": large["limits"], "requests": large["requests"]
    }}], "generation": 2}, separators=(",", ":"))  # fmt: skip
    assert message(cluster, namespace, "ResizeStarted", "in-place") == f"Pod resize started: {expected}"
    assert message(cluster, namespace, "ResizeCompleted", "in-place") == f"Pod resize completed: {expected}"
    assert told(cluster, namespace, "in-place")[0]["containerID"] == before["in-place"]
    renewed, _ = told(cluster, namespace, "restarted")
    assert renewed["restartCount"] == 1 and renewed["containerID"] != before["restarted"]
    assert "resize requires restart" in message(cluster, namespace, "Killing", "restarted")

    def is_pending() -> Obj:
        return told(cluster, namespace, "infeasible")[1]["PodResizePending"]

    pending = eventually_sync(is_pending, "the resize is pending", within=30)
    capacity = quantities.millis(cluster.node()["status"]["allocatable"]["cpu"])
    assert (pending["reason"], pending["observedGeneration"]) == ("Infeasible", 2)
    assert pending["message"] == f"Node didn't have enough capacity: cpu, requested: 4000000, capacity: {capacity}"
    assert message(cluster, namespace, "ResizeInfeasible", "infeasible").startswith("Pod resize Infeasible: {")
    status, _ = told(cluster, namespace, "infeasible")
    assert status["resources"] == small and status["allocatedResources"] == small["requests"]

    def has_failed() -> Obj:
        return told(cluster, namespace, "in-use")[1]["PodResizeInProgress"]

    failed = eventually_sync(has_failed, "the limit is too low", within=30)
    assert failed["reason"] == "Error"
    assert failed["message"].startswith(
        'attempting to set container "main" memory limits (16777216) below current usage'
    )
    cluster.kubectl("exec", "in-use", "--", "rm", "/hog/x", namespace=namespace)

    old, there = cluster.pid("-m", "kubelet"), {n: told(cluster, namespace, n)[0]["containerID"] for n in names}
    cluster.kill(old)
    shrunk = amounts("50m", "16Mi", "1")
    eventually_sync(lambda: has(cluster, namespace, "in-use", shrunk), "a later try succeeds", within=60)
    assert cluster.pid("-m", "kubelet") != old
    assert has(cluster, namespace, "in-place", large)
    assert there == {n: told(cluster, namespace, n)[0]["containerID"] for n in names}


def test_a_resize_waits_for_room(cluster: Cluster, namespace: str) -> None:
    """Deferred while others have it, granted when they go (allocation_manager.go)."""
    capacity = quantities.millis(cluster.node()["status"]["allocatable"]["cpu"])
    taken = amounts(f"{capacity - 500}m", "16Mi")
    cluster.apply(manifests.documents(pod("big", taken), pod("small", amounts("50m", "16Mi"))), namespace)
    for name in ("big", "small"):
        cluster.wait_ready(f"app={name}", 1, namespace)
    wanted = amounts("700m", "16Mi")
    resize(cluster, namespace, "small", wanted)

    def is_deferred() -> bool:
        pending = told(cluster, namespace, "small")[1]["PodResizePending"]
        assert pending["reason"] == "Deferred", pending
        return str(pending["message"]).startswith("Node didn't have enough resource: cpu, requested: 700, used: ")

    eventually_sync(is_deferred, "there is no room", within=30)
    assert message(cluster, namespace, "ResizeDeferred", "small")
    cluster.kubectl("delete", "pod", "big", namespace=namespace)
    eventually_sync(lambda: has(cluster, namespace, "small", wanted), "there is room", within=60)
    assert told(cluster, namespace, "small")[0]["restartCount"] == 0
