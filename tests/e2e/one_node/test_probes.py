"""Probes, hooks and the end of containers, on real Docker. The rules and words are upstream's:
pkg/kubelet/prober, pkg/kubelet/lifecycle, pkg/kubelet/kuberuntime/kuberuntime_container.go.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e import manifests
from tests.e2e.manifests import HELLO, SLEEP, documents, pod, shell
from tests.harness.cluster import Cluster, condition, statuses
from tests.harness.eventually import eventually_sync
from tests.harness.process import sockets

Obj = dict[str, Any]

_GRPC = """
import asyncio, grpc
async def check(message, context):
    return b"\\x08\\x02" if message.endswith(b"down") else b"\\x08\\x01"
async def main():
    server = grpc.aio.server()
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    server.add_insecure_port("[::]:9000")
    await server.start()
    await server.wait_for_termination()
asyncio.run(main())
"""
_IGNORE = "trap '' TERM; while true; do sleep 1; done"


def every(seconds: int, **probe: Any) -> Obj:
    return {"periodSeconds": seconds, **probe}


def command(script: str) -> Obj:
    return {"exec": {"command": ["sh", "-c", script]}}


def news(cluster: Cluster, namespace: str, name: str) -> set[tuple[str, str]]:
    """(reason, message) of every event about a pod."""
    events = cluster.items("events", "--field-selector", f"involvedObject.name={name}", namespace=namespace)
    return {(event["reason"], event["message"]) for event in events}


def grpc_pod() -> Obj:
    """The machine's Python, with Google's own server."""
    python = Path(sys.executable)
    volumes, mounts = manifests.of_the_machine(
        *map(Path, ("/usr", "/lib", "/lib64", sys.base_prefix)), python.parents[1]
    )
    server = {"name": "server", "image": HELLO, "command": [str(python), "-c", _GRPC], "volumeMounts": mounts}
    port = {"grpc": {"port": 9000}}
    down = {"grpc": {"port": 9000, "service": "down"}}
    server |= {
        "startupProbe": every(1, **port, failureThreshold=60),
        "livenessProbe": every(1, **port, timeoutSeconds=9),
    }
    return pod("grpc", server | {"readinessProbe": every(1, **down, timeoutSeconds=9)}, volumes=volumes)


def test_probes(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ ; prober.go for the words;
    KEP-2238 for a probe's own grace; KEP-753 for probes of sidecars."""
    ignoring = {"terminationGracePeriodSeconds": 300}
    once = {"failureThreshold": 1}
    web = {"name": "main", "image": HELLO, "ports": [{"name": "http", "containerPort": 8080}]}
    headers = [{"name": "X-Test", "value": "1"}, {"name": "Accept", "value": ""}]
    sidecar = shell(f"sleep 1; touch /tmp/up; {SLEEP}", "sidecar", restartPolicy="Always",
                    startupProbe=every(1, **command("test -e /tmp/up"), failureThreshold=30),
                    readinessProbe=every(1, **command("test -e /tmp/never")))  # fmt: skip
    cluster.apply(
        documents(
            pod("http", web | {"readinessProbe": every(1, httpGet={"port": "http", "path": "/", "httpHeaders": headers})}),
            pod("tcp", web | {"readinessProbe": every(1, tcpSocket={"port": 8080})}),
            pod("refused", web | {"readinessProbe": every(1, tcpSocket={"port": 81})}),
            pod("nameless", web | {"readinessProbe": every(1, httpGet={"port": "none", "path": "/"})}),
            pod("missing", web | {"readinessProbe": every(1, httpGet={"port": 8080, "path": "/cgi-bin/none"})}),
            pod("said", shell(SLEEP, readinessProbe=every(1, **command("echo out; echo err >&2; exit 3")))),
            pod("slow", shell(SLEEP, readinessProbe=every(1, **command("sleep 3599 & sleep 3599"), **once))),
            pod("graceful", shell(_IGNORE, livenessProbe=every(1, **command("exit 1"), **once, terminationGracePeriodSeconds=1)),
                **ignoring),
            pod("unstarted", shell(SLEEP, startupProbe=every(1, **command("echo no; exit 1"), failureThreshold=2))),
            pod("final", shell(SLEEP.replace("exit 0", "exit 3"), livenessProbe=every(1, **command("exit 1"), **once)), restartPolicy="Never"),
            pod("sidecar", shell(SLEEP), initContainers=[sidecar]),
            grpc_pod(),
        ),
        namespace,
    )  # fmt: skip

    def told(name: str, *wanted: tuple[str, str]) -> None:
        def said() -> bool:
            seen = news(cluster, namespace, name)
            assert set(wanted) <= seen, seen
            return True

        eventually_sync(said, f"events of {name}", within=60, pause=0.3)

    cluster.wait_ready("app in (http, tcp)", 2, namespace)
    address = cluster.get("pod", "refused", namespace=namespace)["status"]["podIP"]
    told("refused", ("Unhealthy", f"Readiness probe failed: dial tcp {address}:81: connect: connection refused"))
    told("nameless", ("Unhealthy", "Readiness probe errored and resulted in unknown state: "
                      'strconv.Atoi: parsing "none": invalid syntax'))  # fmt: skip
    told("missing", ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404"))
    told("said", ("Unhealthy", "Readiness probe failed: out\nerr\n"))
    text = 'command timed out: "sh -c sleep 3599 & sleep 3599" timed out after 1s'
    told("slow", ("Unhealthy", f"Readiness probe failed: {text}"))
    told("graceful", ("Killing", "Container main failed liveness probe, will be restarted"),
         ("Unhealthy", "Liveness probe failed: "))  # fmt: skip
    told("unstarted", ("Unhealthy", "Startup probe failed: no\n"),
         ("Killing", "Container main failed startup probe, will be restarted"))  # fmt: skip
    told("final", ("Killing", "Container main failed liveness probe"))
    told("grpc", ("Unhealthy", 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'))
    pods = {p["metadata"]["name"]: p for p in cluster.items("pods", namespace=namespace)}
    for name in ("refused", "nameless", "missing", "said", "slow", "grpc"):
        main = next(iter(statuses(pods[name]).values()))
        assert (main["started"], main["ready"], main["restartCount"]) == (True, False, 0), (name, main)

    def restarted() -> bool:
        main = statuses(cluster.get("pod", "graceful", namespace=namespace))["main"]
        return bool(main["restartCount"]) and main["lastState"]["terminated"]["exitCode"] == 137

    eventually_sync(restarted, "the probe's own grace has passed, not the pod's", within=30)

    def ended() -> bool:
        final = cluster.get("pod", "final", namespace=namespace)
        main = statuses(final)["main"]
        return final["status"]["phase"] == "Failed" and main["state"]["terminated"]["exitCode"] == 3

    eventually_sync(ended, "without restarts the pod has failed", within=30)
    first = cluster.get("pod", "sidecar", namespace=namespace)["status"]
    side, main = first["initContainerStatuses"][0], first["containerStatuses"][0]
    began = [c["state"]["running"]["startedAt"] for c in (side, main)]
    assert began[0] < began[1] and side["started"] and not side["ready"], "the main one waits for the startup alone"
    assert condition({"status": first}, "ContainersReady") == "False"
    slow = cluster.container(pods["slow"], "main")

    def left() -> list[str]:
        lines = cluster.docker("top", slow, "-eo", "pid,args").splitlines()
        return [line for line in lines if "sleep 3599" in line]

    eventually_sync(lambda: len(left()) <= 3, "what took too long is killed, children and all")


def test_readiness_while_terminating_and_over_a_restart(cluster: Cluster, namespace: str) -> None:
    """Readiness is probed to the end, liveness no more (prober/worker.go, doProbe). A restarted kubelet goes on with
    what its predecessor found: nothing becomes unready, nothing is restarted."""
    probes = {
        "startupProbe": every(1, **command("true")),
        "livenessProbe": every(1, **command("test -e /tmp/up"), failureThreshold=2, timeoutSeconds=20),
        "readinessProbe": every(1, **command("test -e /tmp/up"), failureThreshold=1, timeoutSeconds=20),
    }
    script = "touch /tmp/up; trap 'rm /tmp/up' TERM; while true; do sleep 0.2; done"
    cluster.apply(
        documents(
            pod("going", shell(script, **probes), terminationGracePeriodSeconds=60),
            pod("staying", shell(script, **probes)),
        ),
        namespace,
    )
    cluster.wait_ready("app in (going, staying)", 2, namespace)
    before = cluster.get("pod", "staying", namespace=namespace)["status"]
    kubelet = cluster.pid("-m", "kubelet")
    cluster.kill(kubelet)
    cluster.kubectl("delete", "pod", "going", "--wait=false", namespace=namespace)

    def unready() -> bool:
        going = cluster.get("pod", "going", namespace=namespace)
        return condition(going, "Ready") == "False" and statuses(going)["main"]["state"].get("running") is not None

    eventually_sync(unready, "it is seen to be unready while it ends", within=60)
    assert not [m for _, m in news(cluster, namespace, "going") if "failed liveness probe" in m]
    cluster.kubectl("delete", "pod", "going", "--grace-period=1", namespace=namespace)
    after = cluster.get("pod", "staying", namespace=namespace)["status"]
    assert after["conditions"] == before["conditions"]
    assert after["containerStatuses"] == before["containerStatuses"]


def test_post_start(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """kuberuntime_container.go, startContainer: the container is not running for anybody, and the next does not
    start, before the hook is done; one that fails has its container killed."""
    bad = {"postStart": {"exec": {"command": ["sh", "-c", "echo secret; exit 4"]}}}
    hang = {"postStart": {"exec": {"command": ["sleep", "3599"]}}}
    web = {"name": "main", "image": HELLO}
    nobody = {"postStart": {"httpGet": {"port": 1, "path": "/"}}}
    first = shell(SLEEP, "first", lifecycle={"postStart": {"sleep": {"seconds": 3}}})
    cluster.apply(
        documents(
            pod("order", first, shell(SLEEP, "second"), terminationGracePeriodSeconds=5),
            pod("bad", shell(SLEEP, lifecycle=bad)),
            pod("never", shell(SLEEP.replace("exit 0", "exit 3"), lifecycle=nobody), restartPolicy="Never"),
            pod("hangs", shell(SLEEP, "main", lifecycle=hang), shell(SLEEP, "second")),
            pod("asked", web, shell(SLEEP, "asks", lifecycle={"postStart": {"httpGet": {"port": 8080, "path": "/none"}}})),
        ),
        namespace,
    )  # fmt: skip

    def hanging() -> bool:
        events = news(cluster, namespace, "hangs")
        return ("Started", "Container started") in events

    eventually_sync(hanging, "the hook hangs", within=30)
    status = cluster.get("pod", "hangs", namespace=namespace)["status"]
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    assert (status["phase"], [c["state"] for c in status["containerStatuses"]]) == ("Pending", [waiting] * 2)
    began = time.monotonic()
    cluster.kubectl("delete", "pod", "hangs", namespace=namespace)
    assert time.monotonic() - began < 20, "a pod whose hook hangs can be deleted"

    def failed() -> bool:
        events = news(cluster, namespace, "bad")
        wanted = {("FailedPostStartHook", "PostStartHook failed"), ("Killing", "FailedPostStartHook")}
        main = statuses(cluster.get("pod", "bad", namespace=namespace))["main"]
        assert not [m for _, m in events if "secret" in m], "the hook's words may be a secret"
        reason = (main["state"].get("waiting") or {}).get("reason")
        return wanted <= events and reason in ("PostStartHookError", "CrashLoopBackOff")

    eventually_sync(failed, "a failed hook ends its container", within=30)

    def over() -> bool:
        never = cluster.get("pod", "never", namespace=namespace)
        return never["status"]["phase"] == "Failed" and "terminated" in statuses(never)["main"]["state"]

    eventually_sync(over, "and its pod, if that is not restarted", within=30)
    (order,) = cluster.wait_ready("app=order", 1, namespace)
    begun = [statuses(order)[name]["state"]["running"]["startedAt"][11:19] for name in ("first", "second")]
    seconds = [sum(int(part) * unit for part, unit in zip(t.split(":"), (3600, 60, 1), strict=True)) for t in begun]
    assert (seconds[1] - seconds[0]) % 86400 >= 3, begun
    cluster.wait_ready("app=asked", 1, namespace)


def test_the_end_of_containers(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination : hook, signal, SIGKILL, within
    the grace period, at least two seconds of it for the signal; a second deletion may cut it short."""
    tmp_path.chmod(0o777)
    image = f"sampan/{namespace}:usr1"
    made = cluster.docker("create", "--stop-signal", "SIGUSR1", HELLO)
    cluster.docker("commit", made, image)
    cluster.docker("rm", made)
    mount: Obj = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volume: Obj = {"volumes": [{"name": "v", "hostPath": {"path": str(tmp_path)}}]}

    def telling(name: str, signal: str = "TERM") -> str:
        return f"trap 'echo signal >> /v/{name}; exit 9' {signal}; while true; do sleep 0.1; done"

    def hook(name: str, script: str = "") -> Obj:
        return {"preStop": {"exec": {"command": ["sh", "-c", f"echo hook >> /v/{name}; {script}"]}}}

    cases = {
        "polite": (telling("polite"), hook("polite", "sleep 1"), 20),
        "other-signal": (telling("other-signal", "USR1"), {}, 20),
        "late-hook": (telling("late-hook"), hook("late-hook", "sleep 3599"), 2),
        "bad-hook": (telling("bad-hook"), hook("bad-hook", "exit 1"), 20),
        "sleeper": (telling("sleeper"), {"preStop": {"sleep": {"seconds": 2}}}, 20),
        "deaf": (_IGNORE, {}, 1),
        "patient": (_IGNORE, hook("patient"), 3600),
        "forced": (_IGNORE, {}, 3600),
    }
    cluster.apply(
        documents(
            *(
                pod(name, shell(script, lifecycle=lifecycle, **mount) | ({"image": image} if name == "other-signal" else {}),
                    terminationGracePeriodSeconds=grace, **volume)
                for name, (script, lifecycle, grace) in cases.items()
            )
        ),
        namespace,
    )  # fmt: skip
    pods = {p["metadata"]["name"]: p for p in cluster.wait_ready(f"app in ({','.join(cases)})", len(cases), namespace)}
    kubelet = cluster.pid("-m", "kubelet")
    cluster.kubectl("delete", "pod", "patient", "--wait=false", namespace=namespace)
    forced = pods.pop("forced")
    cluster.kubectl("delete", "pod", "forced", "--force", "--grace-period=0", "--wait=false", namespace=namespace)
    assert not cluster.items("pods", "-l", "app=forced", namespace=namespace), "nobody waits for the node"
    began = time.monotonic()
    gone: dict[str, float] = {}
    cluster.kubectl("delete", "pods", *(set(pods) - {"patient"}), "--wait=false", namespace=namespace)

    def all_gone() -> bool:
        left = {p["metadata"]["name"] for p in cluster.items("pods", namespace=namespace)}
        for name in set(pods) - left - set(gone):
            gone[name] = time.monotonic() - began
        return left == {"patient"}

    eventually_sync(all_gone, "all but the patient are gone", within=60, pause=0.2)
    cluster.kubectl("delete", "pod", "patient", "--grace-period=1", namespace=namespace)
    said = {file.name: file.read_text().split() for file in tmp_path.iterdir()}
    assert said == {
        "polite": ["hook", "signal"],
        "other-signal": ["signal"],
        "late-hook": ["hook", "signal"],
        "bad-hook": ["hook", "signal"],
        "sleeper": ["signal"],
        "patient": ["hook"],
    }
    assert gone["polite"] > 1 and gone["sleeper"] > 2 and gone["late-hook"] > 2 and gone["deaf"] > 2, gone
    assert max(gone.values()) < 20, gone
    failed = ("FailedPreStopHook", "PreStopHook failed")
    for name in pods:
        stopping = {("Killing", "Stopping container main")} | ({failed} if name == "bad-hook" else set())
        eventually_sync(lambda n=name, e=stopping: e <= news(cluster, namespace, n), f"{name}'s events")  # type: ignore[misc]
    assert failed not in news(cluster, namespace, "polite")
    cluster.docker("kill", cluster.container(forced, "main"))

    def quiet() -> bool:
        return len(sockets(kubelet)) < 40 and len(os.listdir(f"/proc/{kubelet}/task")) < 40

    eventually_sync(quiet, "hooks and probes leave no connections and threads behind", within=20)
    cluster.docker("rmi", image)
