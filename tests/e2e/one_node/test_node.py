"""The node: what it says of itself, what goes when it is short of something, and how it shuts down.

Everything else in the cluster that could be evicted is scaled to nothing meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import manifests
from tests.harness import kubelet
from tests.harness.cluster import HELLO, Cluster, condition, statuses
from tests.harness.eventually import eventually_sync
from tests.harness.logind import Logind

Obj = dict[str, Any]
REJECTED = "Pod was rejected: "
KERNEL_SAYS = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=no-such,pid=4711,uid=0\n"
HOG = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); " + manifests.SLEEP


@pytest.fixture(scope="module")
def alone(cluster: Cluster) -> Iterator[None]:
    """Without the example, whose pods would be evicted, too."""
    replicas = cluster.get("deployment", "hello")["spec"]["replicas"]
    cluster.kubectl("scale", "deployment/hello", "--replicas=0")
    eventually_sync(lambda: not cluster.items("pods", "-l", "app=hello"), "the example has gone", within=60)
    yield
    cluster.kubectl("scale", "deployment/hello", f"--replicas={replicas}")
    cluster.wait_ready("app=hello", replicas, "default")


def pod(name: str, script: str = manifests.SLEEP, resources: Obj | None = None, **spec: Any) -> Obj:
    """A pod that is bound already: the scheduler would not send one to a node under pressure."""
    return manifests.pod(name, manifests.shell(script, resources=resources or {}), **spec)


def found(cluster: Cluster, namespace: str) -> dict[str, Obj]:
    return {p["metadata"]["name"]: p for p in cluster.items("pods", namespace=namespace)}


def failed(cluster: Cluster, namespace: str, *names: str, within: float = 60) -> dict[str, Obj]:
    """These pods, once all of them are Failed."""

    def all_failed() -> dict[str, Obj]:
        pods = found(cluster, namespace)
        phases = {name: pods[name]["status"].get("phase") for name in names}
        assert set(phases.values()) == {"Failed"}, phases
        return pods

    return eventually_sync(all_failed, f"{', '.join(names)} failed", within=within, pause=0.3)


def node_condition(cluster: Cluster, kind: str) -> Obj:
    return next(c for c in cluster.node()["status"]["conditions"] if c["type"] == kind)


def of(pod: Obj, kind: str) -> Obj:
    return next(c for c in pod["status"]["conditions"] if c["type"] == kind)


def node_events(cluster: Cluster) -> set[str]:
    events = cluster.items("events", "--field-selector", "involvedObject.kind=Node")
    return {e["reason"] for e in events}


def test_the_node_says_what_it_is(cluster: Cluster) -> None:
    """pkg/kubelet/nodestatus/setters.go; https://kubernetes.io/docs/reference/node/node-status/."""
    node = cluster.node()
    name, status = node["metadata"]["name"], node["status"]
    assert (
        node["metadata"]["labels"] | {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
        == node["metadata"]["labels"]
    )
    assert {a["type"] for a in status["addresses"]} == {"InternalIP", "Hostname"}
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert status["capacity"].keys() >= {"cpu", "memory", "ephemeral-storage", "pods"}
    assert status["allocatable"]["memory"] != status["capacity"]["memory"], "less the hard eviction threshold"
    assert status["nodeInfo"]["containerRuntimeVersion"].startswith("docker://")
    reasons = {c["type"]: c["reason"] for c in status["conditions"]}
    assert reasons == {
        "MemoryPressure": "KubeletHasSufficientMemory", "DiskPressure": "KubeletHasNoDiskPressure",
        "PIDPressure": "KubeletHasSufficientPID", "Ready": "KubeletReady",
    }  # fmt: skip
    lease = cluster.get("lease", name, namespace="kube-node-lease")
    assert lease["spec"]["holderIdentity"] == name
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]
    Path("/dev/kmsg").write_text(KERNEL_SAYS)
    wanted = {
        "SystemOOM",
        "Starting",
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
        "NodeReady",
    }
    eventually_sync(lambda: node_events(cluster) >= wanted, "its events", within=20)


def test_local_storage_has_limits(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/concepts/storage/ephemeral-storage/#resource-emphemeralstorage-consumption; messages
    of pkg/kubelet/eviction/eviction_manager.go localStorageEviction."""
    limit = {"limits": {"ephemeral-storage": "1Mi"}}

    def write(path: str) -> str:
        return f"head -c 3000000 /dev/urandom > {path}; {manifests.SLEEP}"

    def with_volume(name: str, size: str) -> Obj:
        made = pod(name, write("/data/file"), volumes=[{"name": "data", "emptyDir": {"sizeLimit": size}}])
        made["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        return made

    two = pod("container", write("/file"), limit)
    two["spec"]["containers"].append(
        manifests.shell(manifests.SLEEP, "other", resources={"limits": {"ephemeral-storage": "50Mi"}})
    )
    cluster.apply(
        manifests.documents(
            with_volume("volume", "1Mi"),
            with_volume("large", "50Mi"),
            pod("pod", write("/file"), limit),
            two,
            pod("hosts", write("/etc/hosts"), limit),  # CVE-2020-8557
        ),
        namespace,
    )
    pods = failed(cluster, namespace, "volume", "pod", "container", "hosts")
    messages = {
        "volume": 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". ',
        "pod": "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        "hosts": "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        "container": 'Container main exceeded its local ephemeral storage limit "1Mi". ',
    }
    for name, message in messages.items():
        assert (pods[name]["status"]["reason"], pods[name]["status"]["message"]) == ("Evicted", message)
        assert condition(pods[name], "DisruptionTarget") == "missing", "nothing but itself disrupted it"
        assert {e["message"] for e in cluster.told(namespace, "Evicted", name)} == {message}
    assert {e["involvedObject"]["name"] for e in cluster.events(namespace, "Evicted")} == messages.keys()
    assert pods["large"]["status"]["phase"] == "Running"


def test_memory_pressure_evicts_in_order(cluster: Cluster, namespace: str, alone: None) -> None:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#pod-selection-for-kubelet-eviction:
    pods above their requests first, then by priority, then by how much above; critical ones stay. The pressure is made by
    a threshold that is always met."""
    requests = {"requests": {"memory": "300Mi"}}
    names = ("large", "small", "within")
    cluster.apply(
        manifests.documents(
            pod("small"), pod("large", HOG), pod("within", resources=requests),
            pod("critical", priorityClassName="system-node-critical"),
        ),
        namespace,
    )  # fmt: skip
    eventually_sync(
        lambda: [p["status"]["phase"] for p in found(cluster, namespace).values()] == ["Running"] * 4,
        "all run",
        within=60,
    )
    kept_back = {"kubeReserved": {"cpu": "100m", "memory": "1Gi"}, "maxPods": 50}
    hard = {"evictionHard": {"memory.available": "99.9%"}, "evictionPressureTransitionPeriod": "5s"}
    with kubelet.settings(cluster, **hard, **kept_back):
        node = cluster.node()["status"]
        assert node["allocatable"]["cpu"] == f"{int(node['capacity']['cpu']) * 1000 - 100}m"
        assert (node["allocatable"]["memory"], node["allocatable"]["pods"]) == ("0", "50"), "the threshold takes all"
        assert any(HELLO in image["names"] for image in node["images"])
        pods = failed(cluster, namespace, *names)
        pressure = node_condition(cluster, "MemoryPressure")
        assert (pressure["status"], pressure["reason"]) == ("True", "KubeletHasInsufficientMemory")
        assert pressure["message"] == "kubelet has insufficient memory available"
        assert sorted(names, key=lambda n: of(pods[n], "DisruptionTarget")["lastTransitionTime"]) == list(names)
        status = pods["large"]["status"]
        assert status["reason"] == "Evicted"
        assert status["message"].startswith("The node was low on resource: memory. Threshold quantity: ")
        assert "Container main was using " in status["message"]
        assert "request is 0, has larger consumption of memory. " in status["message"]
        assert "Container main" not in pods["within"]["status"]["message"], "it kept to its request"
        target = of(pods["large"], "DisruptionTarget")
        assert (target["status"], target["reason"], target["message"]) == (
            "True",
            "TerminationByKubelet",
            status["message"],
        )
        assert pods["critical"]["status"]["phase"] == "Running"
        event = cluster.told(namespace, "Evicted", "large")[0]
        assert event["type"] == "Warning" and event["message"] == status["message"]
        assert event["metadata"]["annotations"].keys() == {
            "offending_containers", "offending_containers_usage", "starved_resource",
        }  # fmt: skip
        wanted = {"NodeHasInsufficientMemory", "EvictionThresholdMet"}
        eventually_sync(lambda: wanted <= node_events(cluster), "the node's events", within=20)

        late = pod("late", nodeName=cluster.node()["metadata"]["name"])
        cluster.apply(json.dumps(late), namespace)
        refused = failed(cluster, namespace, "late")["late"]["status"]
        assert (refused["reason"], refused["message"]) == (
            "Evicted",
            f"{REJECTED}The node had condition: [MemoryPressure]. ",
        )
    eventually_sync(lambda: node_condition(cluster, "MemoryPressure")["status"] == "False", "no pressure", within=30)
    assert statuses(found(cluster, namespace)["critical"])["main"]["restartCount"] == 0


def test_a_full_disk_costs_dead_containers_before_pods(cluster: Cluster, namespace: str, alone: None) -> None:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#reclaim-node-resources: dead
    containers (and unused images, see test_images.py) first, then pods by what they take of the disk."""
    cluster.apply(
        manifests.documents(
            pod("done", "echo done", restartPolicy="Never"),
            pod("big", f"head -c 20000000 /dev/urandom > /file; {manifests.SLEEP}"),
            pod("little"),
        ),
        namespace,
    )

    def settled() -> bool:
        phases = {name: p["status"]["phase"] for name, p in found(cluster, namespace).items()}
        return phases == {"done": "Succeeded", "big": "Running", "little": "Running"}

    eventually_sync(settled, "they run", within=60)
    container = statuses(found(cluster, namespace)["done"])["main"]["containerID"].rpartition("/")[2]
    hard = {"nodefs.available": "99.9%"}
    with kubelet.settings(cluster, evictionHard=hard, evictionPressureTransitionPeriod="5s"):
        pods = failed(cluster, namespace, "big", "little")
        assert node_condition(cluster, "DiskPressure")["reason"] == "KubeletHasDiskPressure"
        moments = [of(pods[name], "DisruptionTarget")["lastTransitionTime"] for name in ("big", "little")]
        assert moments == sorted(moments)
        assert pods["big"]["status"]["message"].startswith("The node was low on resource: ephemeral-storage. ")
        assert container not in cluster.docker("ps", "-aq", "--no-trunc").split()
        done = pods["done"]["status"]
        assert (done["phase"], done["containerStatuses"][0]["state"]["terminated"]["reason"]) == (
            "Succeeded",
            "Completed",
        )


def test_a_shutdown_waits_for_pods(cluster: Cluster, namespace: str, alone: None) -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown, KEP-2000."""
    name = cluster.node()["metadata"]["name"]
    cluster.apply(manifests.documents(pod("web"), pod("critical", priorityClassName="system-node-critical")), namespace)
    times = {"shutdownGracePeriod": "20s", "shutdownGracePeriodCriticalPods": "5s"}
    with Logind(cluster.bus.parent) as machine, kubelet.settings(cluster, **times):
        eventually_sync(lambda: machine.locks == 1, "the kubelet holds a lock", within=20)
        eventually_sync(
            lambda: all(p["status"]["phase"] == "Running" for p in found(cluster, namespace).values()),
            "they run",
            within=60,
        )
        machine.prepare_for_shutdown(True)
        eventually_sync(lambda: machine.locks == 0, "the machine may go on", within=30)
        for pod_ in failed(cluster, namespace, "web", "critical", within=1).values():
            status, target = pod_["status"], of(pod_, "DisruptionTarget")
            assert (status["reason"], target["reason"]) == ("Terminated", "TerminationByKubelet")
            assert status["message"] == "Pod was terminated in response to imminent node shutdown."
        ready = node_condition(cluster, "Ready")
        assert (ready["status"], ready["reason"], ready["message"]) == (
            "False",
            "KubeletNotReady",
            "node is shutting down",
        )
        cluster.apply(json.dumps(pod("late", nodeName=name)), namespace)
        refused = failed(cluster, namespace, "late")["late"]["status"]
        assert refused["reason"] == "NodeShutdown"
        assert refused["message"] == f"{REJECTED}Pod was rejected as the node is shutting down."
        eventually_sync(lambda: "NodeShutdown" in node_events(cluster), "the node's event", within=20)

        machine.prepare_for_shutdown(False)
        eventually_sync(lambda: machine.locks == 1, "a lock is held again", within=10)
        eventually_sync(lambda: node_condition(cluster, "Ready")["status"] == "True", "the node is ready", within=20)


def test_logs_are_rotated_and_outlive_containers_and_kubelet(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/logging/#log-rotation; one dead container of a name is
    kept, with its log (kuberuntime_gc.go, MaxPerPodContainer), and those of a pod that ended until the pod is gone."""

    def log(name: str, *more: str) -> list[str]:
        return cluster.kubectl("logs", name, *more, namespace=namespace).stdout.splitlines()

    def containers(name: str) -> list[str]:
        label = f"label=io.kubernetes.pod.name={name}"
        return cluster.docker(
            "ps", "-aq", "--filter", label, "--filter", "label=io.kubernetes.container.name=main"
        ).split()

    def restarts() -> int:
        return int(statuses(found(cluster, namespace)["again"])["main"]["restartCount"])

    with kubelet.settings(cluster, containerLogMaxSize="10Ki", containerLogMaxFiles=2):
        cluster.apply(
            manifests.documents(
                pod("chatty", f"i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; {manifests.SLEEP}"),
                pod("ended", "echo last words; exit 3", restartPolicy="Never"),
                pod("again", "echo lived; sleep 1; exit 1"),
            ),
            namespace,
        )
        failed(cluster, namespace, "ended")
        eventually_sync(lambda: log("chatty")[-1:] == ["line 2000"], "all is written", within=30)
        assert 0 < len(log("chatty")) < 2000, "the oldest lines are gone"
        eventually_sync(lambda: restarts() == 1, "it has been started again", within=30)
    assert log("ended") == ["last words"]
    assert log("chatty")[-1] == "line 2000"
    eventually_sync(
        lambda: restarts() >= 1 and log("again", "--previous") == ["lived"], "the log of the life before", within=30
    )
    assert len(containers("again")) <= 2 and len(containers("ended")) == 1
    cluster.kubectl("delete", "pod", "ended", namespace=namespace)
    eventually_sync(lambda: not containers("ended"), "what was left of a pod that had ended goes with it", within=10)


def test_logs_are_followed_over_rotations(cluster: Cluster, namespace: str) -> None:
    """Each line once, in order: kuberuntime/logs/logs.go goes on with the next file when one was put aside."""
    lines = 5000
    script = (
        f"sleep 3; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; "
        "[ $((i % 50)) = 0 ] && usleep 20000; done; echo done >&2"
    )
    with kubelet.settings(cluster, containerLogMaxSize="50Ki", containerLogMaxFiles=3):
        cluster.apply(json.dumps(pod("talker", script, restartPolicy="Never")), namespace)
        eventually_sync(
            lambda: found(cluster, namespace)["talker"]["status"]["phase"] == "Running", "it runs", within=30
        )
        followed = cluster.kubectl("logs", "-f", "talker", namespace=namespace, timeout=120).stdout.splitlines()
        assert followed == [*(f"line {n}" for n in range(1, lines + 1)), "done"]
        kept = cluster.kubectl("logs", "talker", namespace=namespace).stdout.splitlines()
        assert 10 < len(kept) < lines / 2, "files were put aside"
        assert kept == followed[-len(kept) :]
        assert cluster.kubectl("logs", "talker", "--tail=900", namespace=namespace).stdout.splitlines() == kept[-900:]


def test_a_kubelet_does_not_start_with_what_it_does_not_know(tmp_path: Path) -> None:
    """Upstream decodes its configuration strictly (pkg/kubelet/kubeletconfig/configfiles)."""
    file = tmp_path / "kubelet.yaml"
    file.write_text(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nevictionHard: {memory: '1'}\n"
    )
    argv = [sys.executable, "-m", "kubelet", "--config", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and "evictionHard has memory" in done.stderr, done.stderr
