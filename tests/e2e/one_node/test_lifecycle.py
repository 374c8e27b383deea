"""The life of a pod on real Docker: order, restarts, ends, and what its status says of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import Cluster, condition, statuses
from tests.harness.eventually import eventually_sync

Obj = dict[str, Any]
WITHIN = 90
ONCE = "test -f /v/once && exit 0; touch /v/once; exit "
"""Ends with the code given, and well the next time."""
SCRATCH: Obj = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
VOLUME: Obj = {"volumes": [{"name": "v", "emptyDir": {}}]}
FOREVER = SLEEP.split("; ", 1)[1]
"""SLEEP without its trap."""
SIDECAR: Obj = {"restartPolicy": "Always"}


class Pods:
    """Pods of one namespace, all made at once."""

    def __init__(self, cluster: Cluster, namespace: str, *made: Obj) -> None:
        self.cluster, self.namespace = cluster, namespace
        cluster.apply(documents(*made), namespace)

    def __getitem__(self, name: str) -> Obj:
        return self.cluster.get("pod", name, namespace=self.namespace)

    def wait(self, name: str, holds: Callable[[Obj], object], what: str) -> Obj:
        def reached() -> Obj:
            found = self[name]
            assert holds(found), found["status"]
            return found

        return eventually_sync(reached, f"{name}: {what}", within=WITHIN, pause=0.3)

    def phase(self, name: str, wanted: str) -> Obj:
        return self.wait(name, lambda p: p["status"].get("phase") == wanted, wanted)

    def events(self, name: str, reason: str) -> list[str]:
        found = self.cluster.events(self.namespace, reason)
        return [e["message"] for e in found if e["involvedObject"]["name"] == name]

    def told(self, name: str, reason: str) -> list[str]:
        return [e["message"] for e in self.cluster.told(self.namespace, reason, name)]


def inits(found: Obj) -> dict[str, Obj]:
    return {s["name"]: s for s in found["status"].get("initContainerStatuses") or []}


def ended(found: Obj, name: str = "main") -> Obj:
    state: Obj = ({**inits(found), **statuses(found)})[name]["state"].get("terminated") or {}
    return state


def reason(found: Obj, kind: str) -> tuple[str, str]:
    (one,) = [c for c in found["status"]["conditions"] if c["type"] == kind]
    return one["status"], one.get("reason", "")


def test_sidecars_start_in_turn_and_end_last(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """KEP-753: the next container waits until a sidecar has started (startup probe); at the end preStop hooks of all
    run at once, sidecars get their signal after the app, the last first. A sidecar that ends is restarted, and none
    keeps its pod from completing. test/e2e_node/container_lifecycle_test.go."""
    seen: Obj = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}

    def says(name: str, at_end: str = "", first: str = "") -> str:
        return f"{first}trap '{at_end}echo {name} ends >> /v/log; exit 0' TERM; echo {name} >> /v/log; {FOREVER}"

    slow = {"exec": {"command": ["sh", "-c", "test -f /v/go && echo started >> /v/log"]}, "periodSeconds": 1}
    told = {"preStop": {"exec": {"command": ["sh", "-c", "echo told >> /v/log"]}}}
    pods = Pods(
        cluster, namespace,
        pod(
            "ordered", shell(says("main", "sleep 1; "), **seen),
            initContainers=[
                shell("echo one >> /v/log", "one", **seen),
                shell(says("first"), "first", startupProbe={**slow, "failureThreshold": 90}, lifecycle=told,
                    **SIDECAR, **seen),
                shell("echo two >> /v/log", "two", **seen),
                shell(says("second"), "second", **SIDECAR, **seen),
            ],
            volumes=[{"name": "v", "hostPath": {"path": str(tmp_path)}}],
            terminationGracePeriodSeconds=60,
        ),
        pod(
            "job", shell("sleep 1"), restartPolicy="Never",
            initContainers=[shell(SLEEP, "side", **SIDECAR), shell("sleep 2", "brief", **SIDECAR)],
        ),
        pod("crashing", shell(SLEEP), initContainers=[shell("sleep 1; exit 3", "side", **SIDECAR)]),
    )  # fmt: skip
    waiting = pods.wait("ordered", lambda p: "running" in inits(p).get("first", {}).get("state", {}), "sidecar runs")
    assert (inits(waiting)["first"]["started"], waiting["status"]["phase"]) == (False, "Pending")
    assert inits(waiting)["two"]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert statuses(waiting)["main"]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert reason(waiting, "Initialized") == ("False", "ContainersNotInitialized")
    (tmp_path / "go").touch()
    pods.wait("ordered", lambda p: condition(p, "Ready") == "True", "ready")
    log = (tmp_path / "log").read_text().split("\n")[:-1]
    assert [line for line in log if line != "started"] == ["one", "first", "two", "second", "main"]
    assert log.index("started") < log.index("two")

    crashing = pods.wait("crashing", lambda p: inits(p)["side"]["restartCount"] >= 1, "sidecar restarted")
    assert crashing["status"]["phase"] == "Running" and statuses(crashing)["main"]["restartCount"] == 0
    job = pods.phase("job", "Succeeded")
    assert ended(job)["reason"] == "Completed" and ended(job, "side")["exitCode"] in (0, 143)
    assert reason(job, "Ready") == ("False", "PodCompleted") == reason(job, "ContainersReady")
    assert reason(job, "Initialized") == ("True", "PodCompleted")

    cluster.kubectl("delete", "pod", "ordered", namespace=namespace, timeout=WITHIN)
    end = (tmp_path / "log").read_text().split("\n")[len(log) : -1]
    assert [line for line in end if line != "started"] == ["told", "main ends", "second ends", "first ends"]


def test_restart_policies_and_rules(cluster: Cluster, namespace: str) -> None:
    """KEP-5307 and kubelet_pods.go getPhase: what is restarted, what is not, and the phase that follows."""

    def rules(policy: str, *codes: int) -> Obj:
        rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": list(codes)}}
        return {"restartPolicy": policy, **({"restartPolicyRules": [rule]} if codes else {})}

    pods = Pods(
        cluster, namespace,
        pod("on-failure", shell(ONCE + "1", **SCRATCH), restartPolicy="OnFailure", **VOLUME),
        pod("rule", shell(ONCE + "42", **SCRATCH, **rules("Never", 42)), restartPolicy="Never", **VOLUME),
        pod("no-rule", shell("exit 41", **rules("Never", 42)), restartPolicy="Never"),
        pod("own-never", shell("exit 5", **rules("Never"))),
        pod("own-always", shell("sleep 1", **rules("Always")), restartPolicy="Never"),
        pod("init-fails", shell(SLEEP), initContainers=[shell("exit 6", "i")], restartPolicy="Never"),
        pod("init-again", shell(SLEEP, **SCRATCH), initContainers=[shell(ONCE + "6", "i", **SCRATCH)], **VOLUME),
    )  # fmt: skip
    for name in ("on-failure", "rule"):
        done = statuses(pods.phase(name, "Succeeded"))["main"]
        assert (done["restartCount"], done["state"]["terminated"]["reason"]) == (1, "Completed")
        assert done["lastState"]["terminated"]["reason"] == "Error"
    for name, code in (("no-rule", 41), ("own-never", 5)):
        failed = pods.phase(name, "Failed")
        assert (ended(failed)["exitCode"], statuses(failed)["main"]["restartCount"]) == (code, 0)
        assert reason(failed, "Ready") == ("False", "PodFailed")
    again = pods.wait("own-always", lambda p: statuses(p)["main"]["restartCount"] >= 1, "restarted")
    assert again["status"]["phase"] == "Running"
    failed = pods.phase("init-fails", "Failed")
    assert (ended(failed, "i")["exitCode"], ended(failed, "i")["reason"]) == (6, "Error")
    assert statuses(failed)["main"]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert reason(failed, "Initialized") == ("False", "ContainersNotInitialized")
    ready = pods.wait("init-again", lambda p: condition(p, "Ready") == "True", "ready")
    assert (inits(ready)["i"]["restartCount"], inits(ready)["i"]["ready"]) == (1, True)


def test_how_containers_end(cluster: Cluster, namespace: str) -> None:
    """dockershim's reasons and exit codes; messages as in /docs/tasks/debug/debug-application/determine-reason-pod-failure:
    4096 bytes of the file, else the last 2048 bytes or 80 lines of the log of what failed."""
    never: Obj = {"restartPolicy": "Never"}
    hog = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); sleep 60"
    logs: Obj = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    pods = Pods(
        cluster, namespace,
        pod("oom", shell(hog, resources={"limits": {"memory": "16Mi"}}), **never),
        pod("cannot", {**shell(""), "command": ["/no/such/file"]}, **never),
        pod("killed", shell(SLEEP), **never),
        pod("file", shell("echo -n hello > /dev/termination-log"), **never),
        pod("elsewhere", shell("echo -n there > /tmp/m; exit 1", terminationMessagePath="/tmp/m", **logs), **never),
        pod("long", shell("head -c 9000 /dev/zero | tr '\\0' y > /dev/termination-log; exit 1"), **never),
        pod("log", shell("seq 1 100; exit 1", **logs), **never),
        pod("quiet", shell("echo well", **logs), **never),
        pod("late", shell(SLEEP), terminationGracePeriodSeconds=60),
    )  # fmt: skip
    cluster.docker("kill", cluster.container(pods.phase("killed", "Running"), "main"))
    oom = ended(pods.phase("oom", "Failed"))
    assert (oom["reason"], oom["exitCode"]) == ("OOMKilled", 137)
    cannot = ended(pods.phase("cannot", "Failed"))
    assert cannot["reason"] == "ContainerCannotRun" and cannot["exitCode"] in (127, 128)
    assert "/no/such/file" in cannot["message"]
    assert any("failed to start container" in m for m in pods.told("cannot", "Failed"))
    killed = ended(pods.phase("killed", "Failed"))
    assert (killed["reason"], killed["exitCode"]) == ("Error", 137)
    assert ended(pods.phase("file", "Succeeded"))["message"] == "hello"
    assert ended(pods.phase("elsewhere", "Failed"))["message"] == "there"
    assert ended(pods.phase("long", "Failed"))["message"] == "y" * 4096
    lines = "".join(f"{n}\n" for n in range(21, 101))
    assert ended(pods.phase("log", "Failed"))["message"] == lines
    assert "message" not in ended(pods.phase("quiet", "Succeeded"))

    pods.phase("late", "Running")
    cluster.kubectl("patch", "pod", "late", "-p", '{"spec": {"activeDeadlineSeconds": 1}}', namespace=namespace)
    late = pods.phase("late", "Failed")
    why = "Pod was active on the node longer than the specified deadline"
    assert (late["status"]["reason"], late["status"]["message"]) == ("DeadlineExceeded", why)
    assert ended(late)["exitCode"] == 0, "it was told to stop, and did"
    assert pods.told("late", "DeadlineExceeded") == [why]
    over = pods.wait("late", lambda p: condition(p, "PodReadyToStartContainers") == "False", "its sandbox is gone")
    assert {c.get("observedGeneration") for c in over["status"]["conditions"]} == {over["metadata"]["generation"]}
    assert over["status"]["observedGeneration"] == over["metadata"]["generation"]


def test_pods_the_node_refuses(cluster: Cluster, namespace: str) -> None:
    """lifecycle/predicate.go, kubelet.go rejectPod: bound to the node by somebody else, refused by the node."""
    node = cluster.node()["metadata"]["name"]
    port: Obj = {"ports": [{"containerPort": 8080, "hostPort": 18642}]}
    refused: dict[str, tuple[Obj, str, str]] = {
        "cpu": (
            pod("cpu", shell(SLEEP, resources={"requests": {"cpu": "1000"}})),
            "OutOfcpu", "Node didn't have enough resource: cpu, requested: 1000000, used: ",
        ),
        "selector": (
            pod("selector", shell(SLEEP), nodeSelector={"no": "such"}),
            "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        "system": (
            pod("system", shell(SLEEP), os={"name": "windows"}),
            "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS",
        ),
        "port": (
            pod("port", shell(SLEEP, **port)),
            "NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ),
    }  # fmt: skip
    Pods(cluster, namespace, pod("first", shell(SLEEP, **port), nodeName=node))
    cluster.wait_ready("app=first", 1, namespace)
    made = [{**obj, "spec": {**obj["spec"], "nodeName": node}} for obj, _, _ in refused.values()]
    pods = Pods(cluster, namespace, *made)
    for name, (_, why, message) in refused.items():
        status = pods.phase(name, "Failed")["status"]
        assert status["reason"] == why and status["message"].startswith(f"Pod was rejected: {message}"), status
        assert not status.get("containerStatuses")
        (event,) = pods.told(name, why)
        assert event.startswith(message)
        assert cluster.docker("ps", "-aq", "--filter", f"label=io.kubernetes.pod.name={name}") == ""


def test_a_full_node_makes_room_for_a_critical_pod(cluster: Cluster, namespace: str) -> None:
    """pkg/kubelet/preemption: of those that are not critical, the one goes whose room is enough."""
    node = cluster.node()
    name, cpus = node["metadata"]["name"], int(node["status"]["allocatable"]["cpu"])

    def asking(pod_name: str, millis: int, **spec: Any) -> Obj:
        return pod(pod_name, shell(SLEEP, resources={"requests": {"cpu": f"{millis}m"}}), nodeName=name, **spec)

    pods = Pods(cluster, namespace, asking("small", 10), asking("large", cpus * 1000 - 500))
    for one in ("small", "large"):
        pods.phase(one, "Running")
    critical = Pods(cluster, namespace, asking("critical", 600, priorityClassName="system-node-critical"))
    critical.phase("critical", "Running")
    status = pods.phase("large", "Failed")["status"]
    assert (status["reason"], status["message"]) == ("Preempting", "Preempted in order to admit critical pod")
    assert pods.told("large", "Preempting") == ["Preempted in order to admit critical pod"]
    (target,) = [c for c in status["conditions"] if c["type"] == "DisruptionTarget"]
    assert (target["reason"], target["status"]) == ("TerminationByKubelet", "True")
    assert pods["small"]["status"]["phase"] == "Running"


def test_gates_and_guests(cluster: Cluster, namespace: str) -> None:
    """KEP-580: a pod is Ready when its gates are open, at once. KEP-277: a container put into a running pod is started
    once, and counts for nothing. A sandbox that dies is made anew, init containers first."""
    gate = "example.com/open"
    pods = Pods(
        cluster, namespace,
        pod("gated", shell(SLEEP), readinessGates=[{"conditionType": gate}]),
        pod("host", shell(SLEEP)),
        pod("boxed", shell(SLEEP), initContainers=[shell("exit 0", "i")]),
    )  # fmt: skip
    gated = pods.wait("gated", lambda p: condition(p, "ContainersReady") == "True", "its containers are ready")
    assert reason(gated, "Ready") == ("False", "ReadinessGatesNotReady")
    patch = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    cluster.kubectl(
        "patch", "pod", "gated", "--subresource=status", "--type=strategic", "-p", json.dumps(patch),
        namespace=namespace,
    )  # fmt: skip
    pods.wait("gated", lambda p: condition(p, "Ready") == "True", "ready")

    cluster.wait_ready("app=host", 1, namespace)
    cluster.kubectl("debug", "host", "--image", shell("")["image"], "-c", "guest", "--", "sh", "-c", "exit 4",
        namespace=namespace)  # fmt: skip

    def guest(found: Obj) -> Obj:
        (told,) = found["status"].get("ephemeralContainerStatuses") or [{"state": {}}]
        state: Obj = told["state"].get("terminated") or {}
        return state

    host = pods.wait("host", guest, "the guest has ended")
    assert (guest(host)["exitCode"], guest(host)["reason"]) == (4, "Error")
    assert (host["status"]["phase"], condition(host, "Ready")) == ("Running", "True")

    (boxed,) = cluster.wait_ready("app=boxed", 1, namespace)
    cluster.docker("kill", cluster.container(boxed, "POD"))

    def anew(found: Obj) -> bool:
        counts = (inits(found)["i"]["restartCount"], statuses(found)["main"]["restartCount"])
        return counts == (1, 1) and condition(found, "Ready") == "True"

    pods.wait("boxed", anew, "all runs again in a new sandbox")
    assert pods.told("boxed", "SandboxChanged") == ["Pod sandbox changed, it will be killed and re-created."]
    assert statuses(pods["host"])["main"]["restartCount"] == 0
