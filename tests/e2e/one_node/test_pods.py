"""What a node does with pods: phases, restarts, sharing, probes, volumes."""

from __future__ import annotations

import base64
import json

from tests.e2e import manifests
from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import Cluster, condition, statuses
from tests.harness.eventually import eventually_sync


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    return str(cluster.get("pod", name, namespace=namespace)["status"].get("phase"))


def test_two_containers_talk_over_localhost_and_share_a_volume(cluster: Cluster, namespace: str) -> None:
    cluster.apply(
        documents(
            pod(
                "pair",
                {"name": "web", "image": manifests.HELLO, "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]},
                shell(SLEEP, "client", volumeMounts=[{"name": "shared", "mountPath": "/data"}]),
                volumes=[{"name": "shared", "emptyDir": {}}],
            )
        ),
        namespace,
    )
    cluster.wait_ready("app=pair", 1, namespace)

    def run(container: str, script: str) -> str:
        return cluster.kubectl("exec", "pair", "-c", container, "--", "sh", "-c", script, namespace=namespace).stdout

    heard = eventually_sync(lambda: run("client", "wget -qO- http://localhost:8080 || true"), "localhost answers")
    assert heard.startswith("Hello from pair")
    run("web", "echo written by web > /shared/note")
    assert run("client", "cat /data/note") == "written by web\n"


def test_phases(cluster: Cluster, namespace: str) -> None:
    huge = {"requests": {"cpu": "1000"}}
    cluster.apply(
        documents(
            pod("pending", shell(SLEEP, resources=huge)),
            pod("running", shell(SLEEP)),
            pod("succeeded", shell("exit 0"), restartPolicy="Never"),
            pod("failed", shell("exit 7"), restartPolicy="Never"),
        ),
        namespace,
    )
    for name in ("running", "succeeded", "failed"):
        eventually_sync(lambda n=name: phase(cluster, namespace, n) == n.capitalize(), f"{name} is {name}", within=30)
    failed = statuses(cluster.get("pod", "failed", namespace=namespace))["main"]["state"]["terminated"]
    assert (failed["exitCode"], failed["reason"]) == (7, "Error")
    assert (
        statuses(cluster.get("pod", "succeeded", namespace=namespace))["main"]["state"]["terminated"]["reason"]
        == "Completed"
    )
    pending = cluster.get("pod", "pending", namespace=namespace)
    assert pending["status"]["phase"] == "Pending"
    assert condition(pending, "PodScheduled") == "False"
    messages = [e["message"] for e in cluster.told(namespace, "FailedScheduling")]
    assert any("0/1 nodes are available: 1 Insufficient cpu" in m for m in messages), messages


def test_a_killed_container_comes_back(cluster: Cluster, namespace: str) -> None:
    cluster.apply(documents(pod("p", shell(SLEEP), shell(SLEEP, "other"))), namespace)
    (before,) = cluster.wait_ready("app=p", 1, namespace)
    cluster.docker("kill", cluster.container(before, "main"))

    def back() -> bool:
        now = cluster.get("pod", "p", namespace=namespace)
        assert now["status"]["phase"] == "Running"
        counts = {name: s["restartCount"] for name, s in statuses(now).items()}
        return counts == {"main": 1, "other": 0} and condition(now, "Ready") == "True"

    eventually_sync(back, "the container is back with one restart", within=30)
    last = statuses(cluster.get("pod", "p", namespace=namespace))["main"]["lastState"]["terminated"]
    assert last["exitCode"] == 137


def test_a_killed_sandbox_recovers_the_pod(cluster: Cluster, namespace: str) -> None:
    cluster.apply(documents(pod("p", shell(SLEEP))), namespace)
    (before,) = cluster.wait_ready("app=p", 1, namespace)
    cluster.docker("kill", cluster.container(before, "POD"))

    def back() -> bool:
        now = cluster.get("pod", "p", namespace=namespace)
        return statuses(now)["main"]["restartCount"] == 1 and condition(now, "Ready") == "True"

    eventually_sync(back, "the pod runs again in a new sandbox", within=30)
    after = cluster.get("pod", "p", namespace=namespace)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    sent = cluster.kubectl("exec", "p", "--", "hostname", "-i", namespace=namespace).stdout
    assert after["status"]["podIP"] in sent


def test_a_crashing_container_backs_off(cluster: Cluster, namespace: str) -> None:
    cluster.apply(documents(pod("p", shell("exit 1"))), namespace)

    def waiting(restarts: int, delay: str) -> bool:
        status = statuses(cluster.get("pod", "p", namespace=namespace)).get("main", {})
        state = status.get("state", {}).get("waiting", {})
        assert state.get("reason") == "CrashLoopBackOff", status
        assert f"back-off {delay} restarting failed container=main" in state["message"], state
        return bool(status["restartCount"] >= restarts)

    eventually_sync(lambda: waiting(1, "10s"), "backing off for 10 s", within=30)
    eventually_sync(lambda: waiting(2, "20s"), "backing off for 20 s", within=40)
    cluster.told(namespace, "BackOff")
    listed = cluster.kubectl("get", "pod", "p", namespace=namespace).stdout
    assert "CrashLoopBackOff" in listed
    assert phase(cluster, namespace, "p") == "Running"


def test_init_containers_run_first_and_in_order(cluster: Cluster, namespace: str) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    cluster.apply(
        documents(
            pod(
                "p",
                shell(f"cat /v/log; {SLEEP}", volumeMounts=mounts),
                initContainers=[
                    shell("echo one >> /v/log", "one", volumeMounts=mounts),
                    shell("sleep 1; echo two >> /v/log", "two", volumeMounts=mounts),
                ],
                volumes=[{"name": "v", "emptyDir": {}}],
            )
        ),
        namespace,
    )
    cluster.wait_ready("app=p", 1, namespace)
    assert cluster.kubectl("logs", "p", "-c", "main", namespace=namespace).stdout == "one\ntwo\n"
    inits = cluster.get("pod", "p", namespace=namespace)["status"]["initContainerStatuses"]
    assert [(s["name"], s["state"]["terminated"]["reason"]) for s in inits] == [
        ("one", "Completed"),
        ("two", "Completed"),
    ]


def test_configuration_reaches_the_container(cluster: Cluster, namespace: str) -> None:
    container = shell(
        f"echo $GREETING $PASSWORD $ME $CPU $ALL_level $COMPOSED; cat /config/file /secret/password; echo; {SLEEP}",
        env=[
            {"name": "GREETING", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "greeting"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "COMPOSED", "value": "$(GREETING)-$(ME)"},
        ],
        envFrom=[{"prefix": "ALL_", "configMapRef": {"name": "c"}}],
        resources={"limits": {"cpu": "250m", "memory": "64Mi"}},
        volumeMounts=[{"name": "c", "mountPath": "/config"}, {"name": "s", "mountPath": "/secret"}],
    )
    cluster.apply(
        documents(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"},
             "data": {"greeting": "hello", "level": "high", "file": "from a file\n"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
             "data": {"password": base64.b64encode(b"sesame").decode()}},
            pod("p", container, volumes=[{"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}}]),
        ),
        namespace,
    )  # fmt: skip
    cluster.wait_ready("app=p", 1, namespace)
    printed = cluster.kubectl("logs", "p", namespace=namespace).stdout
    assert printed == "hello sesame p 250 high hello-p\nfrom a file\nsesame\n"


def test_a_missing_config_map_holds_the_container_back_until_it_is_there(cluster: Cluster, namespace: str) -> None:
    env = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "late", "key": "x"}}}]
    cluster.apply(documents(pod("p", shell(SLEEP, env=env))), namespace)

    def held() -> bool:
        state = statuses(cluster.get("pod", "p", namespace=namespace)).get("main", {}).get("state", {})
        return bool(state.get("waiting", {}).get("reason") == "CreateContainerConfigError")

    eventually_sync(held, "the reason is shown", within=20)
    cluster.kubectl("create", "-f", "-", namespace=namespace, stdin=json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {"x": "1"}}))  # fmt: skip
    cluster.wait_ready("app=p", 1, namespace, within=30)


def test_probes_decide_on_readiness_and_restarts(cluster: Cluster, namespace: str) -> None:
    """Who is killed by a liveness probe starts again though he ends well and is to be restarted OnFailure only:
    computePodActions kills and starts in one step."""
    probe = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 20}
    ready = shell(SLEEP, readinessProbe={"exec": {"command": ["test", "-f", "/tmp/ready"]}, **probe})
    alive = shell(
        "touch /tmp/alive; trap 'exit 0' TERM; while true; do sleep 0.2; done",
        livenessProbe={"exec": {"command": ["test", "-f", "/tmp/alive"]}, **probe, "initialDelaySeconds": 2},
    )
    cluster.apply(documents(pod("ready", ready), pod("alive", alive, restartPolicy="OnFailure")), namespace)
    cluster.wait_ready("app=alive", 1, namespace)
    eventually_sync(lambda: phase(cluster, namespace, "ready") == "Running", "it runs", within=20)
    assert condition(cluster.get("pod", "ready", namespace=namespace), "Ready") == "False"
    cluster.kubectl("exec", "ready", "--", "touch", "/tmp/ready", namespace=namespace)
    cluster.wait_ready("app=ready", 1, namespace, within=15)
    cluster.kubectl("exec", "alive", "--", "rm", "/tmp/alive", namespace=namespace)

    def restarted() -> bool:
        status = statuses(cluster.get("pod", "alive", namespace=namespace))["main"]
        last = status["lastState"].get("terminated") or {}
        assert (status["restartCount"], last.get("exitCode"), status["ready"]) == (1, 0, True), status
        return True

    eventually_sync(restarted, "the failed liveness probe restarted it", within=30)
    assert any("Liveness probe failed" in e["message"] for e in cluster.told(namespace, "Unhealthy", "alive"))


def test_an_image_that_is_nowhere_is_reported(cluster: Cluster, namespace: str) -> None:
    cluster.apply(documents(pod("p", {"name": "main", "image": "localhost:1/none:1"})), namespace)

    def reported() -> bool:
        waiting = (
            statuses(cluster.get("pod", "p", namespace=namespace)).get("main", {}).get("state", {}).get("waiting", {})
        )
        return waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff")

    eventually_sync(reported, "the pull error is shown", within=30)
    assert phase(cluster, namespace, "p") == "Pending"


def test_logs_of_the_container_before(cluster: Cluster, namespace: str) -> None:
    once = "if [ -f /v/x ]; then echo second; " + SLEEP + "; else touch /v/x; echo first; exit 1; fi"
    container = shell(once, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    cluster.apply(documents(pod("p", container, volumes=[{"name": "v", "emptyDir": {}}])), namespace)

    def second_runs() -> bool:
        status = statuses(cluster.get("pod", "p", namespace=namespace)).get("main", {})
        return status.get("restartCount") == 1 and "running" in status["state"]

    eventually_sync(second_runs, "the container runs for the second time", within=30)
    assert cluster.kubectl("logs", "p", namespace=namespace).stdout == "second\n"
    assert cluster.kubectl("logs", "-p", "p", namespace=namespace).stdout == "first\n"


def test_a_deleted_pod_may_finish_what_it_does(cluster: Cluster, namespace: str) -> None:
    """SIGTERM first, SIGKILL only when the grace period is over, and no container left."""
    slow = shell("trap 'sleep 1; exit 0' TERM; while true; do sleep 0.1; done")
    stubborn = shell("trap '' TERM; while true; do sleep 0.1; done")
    cluster.apply(
        documents(
            pod("slow", slow, terminationGracePeriodSeconds=20),
            pod("stubborn", stubborn, terminationGracePeriodSeconds=2),
        ),
        namespace,
    )
    uids = [cluster.wait_ready(f"app={n}", 1, namespace)[0]["metadata"]["uid"] for n in ("slow", "stubborn")]
    cluster.kubectl("delete", "pod", "slow", "stubborn", namespace=namespace, timeout=30)
    for uid in uids:
        assert cluster.docker("ps", "-aq", "--filter", f"label=io.kubernetes.pod.uid={uid}") == ""
