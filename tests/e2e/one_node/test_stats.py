"""What a kubelet tells of its node, and to whom.

Sources: test/e2e_node/{summary,resource_metrics,container_metrics}_test.go, KEP-2862 (who may ask for what),
pkg/kubelet/server/server.go.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import manifests
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync

Obj = dict[str, Any]
MIB = 1 << 20
BUSY = (
    "dd if=/dev/zero of=/file bs=1k count=200 2>/dev/null; dd if=/dev/zero of=/data/file bs=1k count=300 2>/dev/null; "
    "x=$(head -c 9000000 /dev/zero | tr '\\0' x); while true; do echo line; n=0; "
    "while [ $n -lt 2000 ]; do n=$((n+1)); done; sleep 0.3 & wait $!; done"
)


TALK = f"l=$(head -c 999 /dev/zero | tr '\\0' x); n=0; while [ $n -lt 8000 ]; do echo $l; n=$((n+1)); done; {manifests.SLEEP}"
SAID = 8_000_000


@pytest.fixture(scope="module")
def busy(cluster: Cluster) -> Iterator[str]:
    """A namespace with a pod that uses some of everything."""
    with cluster.namespace("stats") as namespace:
        container = manifests.shell(
            BUSY,
            resources={"limits": {"memory": "80Mi", "cpu": "500m"}},
            volumeMounts=[{"name": "data", "mountPath": "/data"}, {"name": "fast", "mountPath": "/fast"}],
        )
        volumes = [{"name": "data", "emptyDir": {}}, {"name": "fast", "emptyDir": {"medium": "Memory"}}]
        talker = manifests.pod("talker", manifests.shell(TALK))
        cluster.apply(manifests.documents(manifests.pod("busy", container, volumes=volumes), talker), namespace)
        cluster.wait_ready("app=busy", 1, namespace)
        cluster.wait_ready("app=talker", 1, namespace)
        yield namespace


def raw(cluster: Cluster, path: str) -> str:
    """By way of the apiserver."""
    node = cluster.node()["metadata"]["name"]
    return cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/{path}").stdout


def credentials(cluster: Cluster) -> ssl.SSLContext:
    """The administrator's."""
    context = ssl.create_default_context(cafile=str(cluster.data / "pki" / "ca.crt"))
    context.load_cert_chain(cluster.data / "pki" / "admin.crt", cluster.data / "pki" / "admin.key")
    return context


def ask(cluster: Cluster, path: str, token: str = "", *, admin: bool = False, post: bool = False) -> tuple[int, str]:
    """From the kubelet itself."""
    context = credentials(cluster) if admin else ssl.create_default_context(cafile=str(cluster.data / "pki" / "ca.crt"))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"https://{cluster.node_ip()}:10250/{path}"
    request = urllib.request.Request(url, headers=headers, method="POST" if post else "GET")
    try:
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def between(least: float, value: float, most: float) -> bool:
    assert least <= value <= most, value
    return True


def test_the_summary(cluster: Cluster, busy: str) -> None:
    """summary_test.go's expectations of a pod and of the node."""

    def told() -> Obj:
        found: Obj = json.loads(raw(cluster, "stats/summary"))
        pod = next(p for p in found["pods"] if p["podRef"]["name"] == "busy")
        (app,) = pod["containers"]
        assert app["name"] == "main" and app["memory"]["rssBytes"] > 5 * MIB
        assert app["rootfs"]["usedBytes"] >= 200 * 1024 and app["logs"]["usedBytes"] > 0
        assert pod["network"]["rxBytes"] > 0 and app["cpu"]["usageNanoCores"] > 0
        return found

    found = eventually_sync(told, "everything is measured", within=40, pause=1)
    pod = next(p for p in found["pods"] if p["podRef"]["name"] == "busy")
    assert pod["podRef"]["namespace"] == busy
    (app,) = pod["containers"]
    for cpu in (app["cpu"], pod["cpu"]):
        assert between(10_000, cpu["usageNanoCores"], 2e9) and between(1e7, cpu["usageCoreNanoSeconds"], 1e11)
    for memory in (app["memory"], pod["memory"]):
        assert between(MIB, memory["workingSetBytes"], 80 * MIB) and memory["workingSetBytes"] <= memory["usageBytes"]
        assert memory["availableBytes"] == 80 * MIB - memory["workingSetBytes"]
        assert memory["pageFaults"] > 100 and memory["majorPageFaults"] >= 0
    assert between(200 * 1024, app["rootfs"]["usedBytes"], 10 * MIB) and app["rootfs"]["inodesUsed"] > 0
    volumes = {v["name"]: v for v in pod["volume"]}
    assert between(300 * 1024, volumes["data"]["usedBytes"], MIB)
    assert volumes["fast"]["capacityBytes"] != volumes["data"]["capacityBytes"]
    assert between(500 * 1024, pod["ephemeral-storage"]["usedBytes"], 21 * MIB)
    assert pod["network"]["name"] == "eth0" and pod["process_stats"]["process_count"] >= 1
    node = found["node"]
    assert node["nodeName"] == cluster.node()["metadata"]["name"]
    assert between(100_000, node["cpu"]["usageNanoCores"], 64e9) and node["memory"]["availableBytes"] > 100 * MIB
    assert {c["name"] for c in node["systemContainers"]} >= {"kubelet", "pods"}
    for filesystem in (node["fs"], node["runtime"]["imageFs"], node["runtime"]["containerFs"]):
        assert filesystem["capacityBytes"] > filesystem["availableBytes"] > 0 and filesystem["usedBytes"] > 0
    assert node["rlimit"]["maxpid"] > node["rlimit"]["curproc"] > 0
    short = json.loads(raw(cluster, "stats/summary?only_cpu_and_memory=true"))
    assert "fs" not in short["node"] and all("network" not in p for p in short["pods"])


def test_metrics(cluster: Cluster, busy: str) -> None:
    """What metrics-server and dashboards read, under upstream's names."""
    labels = f'container="main",namespace="{busy}",pod="busy"'
    resource = raw(cluster, "metrics/resource")
    for name in ("cpu_usage_seconds_total", "memory_working_set_bytes", "start_time_seconds"):
        value = re.search(rf"^container_{name}\{{{labels}\}} (\S+)", resource, re.M)
        assert value is not None and float(value[1]) > 0, name
    assert re.search(rf'^pod_memory_working_set_bytes\{{namespace="{busy}",pod="busy"\}} \d{{7,}}', resource, re.M)
    assert re.search(r"^node_cpu_usage_seconds_total [\d.]+ \d{13}$", resource, re.M)
    assert "resource_scrape_error 0\n" in resource
    cadvisor = raw(cluster, "metrics/cadvisor").splitlines()
    of_pod = [line for line in cadvisor if 'pod="busy"' in line and f'namespace="{busy}"' in line]
    names = {line.partition("{")[0] for line in of_pod if 'container="main"' in line}
    assert names >= {
        "container_cpu_usage_seconds_total", "container_cpu_cfs_throttled_periods_total",
        "container_memory_working_set_bytes", "container_memory_rss", "container_fs_usage_bytes",
        "container_oom_events_total", "container_spec_memory_limit_bytes", "container_start_time_seconds",
    }  # fmt: skip
    assert any(line.startswith("container_network_receive_bytes_total") and 'container=""' in line for line in of_pod)
    assert "machine_memory_bytes" in {line.split(" ")[0] for line in cadvisor}
    own = raw(cluster, "metrics")
    for name in ("kubelet_running_pods", "kubelet_http_requests_total", "process_resident_memory_bytes"):
        assert re.search(rf"^{name}(\{{.*\}})? \S+$", own, re.M), name
    assert re.search(r'^prober_probe_total\{.*probe_type="Readiness"', raw(cluster, "metrics/probes"), re.M)


def test_a_pod_that_digs_deep_hides_nobody(cluster: Cluster, busy: str) -> None:
    """Directories deeper than Python calls functions in one another, and than a path may be long, in a volume and in its
    own layer: the node is measured all the same, and the pod can be deleted."""
    digs = "d=$(printf 'd/%.0s' $(seq 900)); for at in /v /own; do mkdir -p $at/a/$d $at/b/$d $at/c/$d; " \
        "mv $at/a $at/b/$d; mv $at/b $at/c/$d; done; echo deep; "  # fmt: skip
    mounts = [{"name": "v", "mountPath": "/v"}]
    spec = manifests.shell(
        digs + manifests.SLEEP, volumeMounts=mounts, resources={"limits": {"ephemeral-storage": "1Gi"}}
    )
    cluster.apply(manifests.documents(manifests.pod("digs", spec, volumes=[{"name": "v", "emptyDir": {}}])), busy)
    eventually_sync(
        lambda: cluster.kubectl("logs", "digs", namespace=busy, check=False).stdout == "deep\n", "it has dug"
    )

    def measured() -> bool:
        pods = {p["podRef"]["name"]: p for p in json.loads(raw(cluster, "stats/summary"))["pods"]}
        volumes = {v["name"]: v for v in pods["digs"]["volume"]}
        assert volumes["v"]["inodesUsed"] > 2700 and pods["digs"]["containers"][0]["rootfs"]["inodesUsed"] > 2700
        assert "ephemeral-storage" in pods["busy"] and pods["busy"]["ephemeral-storage"]["usedBytes"] > 0
        return True

    eventually_sync(measured, "its disk is known, and that of others", within=30)
    assert 'pod="digs"' in raw(cluster, "metrics/cadvisor")
    directory = (
        next(cluster.data.glob("nodes/*/kubelet/pods")) / cluster.get("pod", "digs", namespace=busy)["metadata"]["uid"]
    )
    assert directory.is_dir()
    cluster.kubectl("delete", "pod", "digs", "--grace-period=1", "--timeout=60s", namespace=busy)
    assert not directory.exists()


def test_what_else_is_told(cluster: Cluster, busy: str) -> None:
    assert raw(cluster, "healthz") == "ok"
    assert raw(cluster, "healthz/ping") == "ok"
    assert "[+]syncloop ok" in raw(cluster, "healthz?verbose")
    told = json.loads(raw(cluster, "configz"))["kubeletconfig"]
    assert told["kind"] == "KubeletConfiguration" and told["authorization"]["webhook"]["cacheAuthorizedTTL"] == "5m0s"
    pods = {p["metadata"]["name"]: p for p in json.loads(raw(cluster, "pods"))["items"]}
    assert pods["busy"]["status"]["phase"] == "Running"
    assert "busy" in [p["metadata"]["name"] for p in json.loads(raw(cluster, "runningpods/"))["items"]]
    assert "<pre>" in raw(cluster, "logs/")
    at = f"{busy}/busy/main"
    assert ask(cluster, f"run/{at}?cmd=echo+hello", admin=True, post=True) == (200, "hello\n")
    code, text = ask(cluster, f"run/{at}?cmd=ls+/none", admin=True, post=True)
    assert code == 500 and text.startswith("command 'ls /none' exited with 1: ls: /none: No such file or directory")
    code, text = ask(cluster, f"checkpoint/{at}", admin=True, post=True)
    assert code == 500 and text.startswith(f"checkpointing of {at} failed")
    assert ask(cluster, f"containerLogs/{busy}/nobody/main", admin=True) == (404, 'pod "nobody" does not exist')
    code, text = ask(cluster, f"containerLogs/{busy}/busy/other", admin=True)
    assert (code, text) == (404, 'container "other" not found in pod "busy"')
    assert ask(cluster, f"containerLogs/{at}?tailLines=0", admin=True) == (200, "")
    assert ask(cluster, f"containerLogs/{at}?tailLines=2", admin=True) == (200, "line\nline\n")
    assert ask(cluster, f"containerLogs/{at}?limitBytes=3", admin=True) == (200, "lin")
    assert ask(cluster, f"containerLogs/{at}?stream=Stdout&tailLines=2", admin=True)[0] == 422


def test_who_may_ask_for_what(cluster: Cluster, busy: str) -> None:
    """A token is its account's, judged by a TokenReview; what it may is a SubjectAccessReview of nodes/stats,
    nodes/metrics, nodes/log, nodes/pods, nodes/configz, nodes/healthz, else of nodes/proxy. A refusal is forgotten after
    30 s, so each account is asked about after it was granted."""
    granted = {"metrics": "nodes/metrics", "pods": "nodes/pods", "proxy": "nodes/proxy", "none": ""}
    grants = manifests.documents(*(one for name, what in granted.items() for one in grant(busy, name, what)))
    cluster.apply(grants, busy)
    tokens = {name: cluster.kubectl("create", "token", name, namespace=busy).stdout.strip() for name in granted}
    try:
        allowed = {
            "metrics": {"metrics/resource"},
            "pods": {"runningpods/"},
            "proxy": {"runningpods/", "configz", f"containerLogs/{busy}/busy/main?tailLines=1"},
            "none": set[str](),
        }
        paths = set().union(*allowed.values()) | {"stats/summary", "logs/"}
        found = {name: {path for path in paths if ask(cluster, path, tokens[name])[0] == 200} for name in allowed}
        assert found == allowed
        account = f"system:serviceaccount:{busy}:none"
        said = f"Forbidden (user={account}, verb=get, resource=nodes, subresource(s)=[configz proxy])\n"
        assert ask(cluster, "configz", tokens["none"]) == (403, said)
        assert ask(cluster, "configz", "eyJ.no.token") == (401, "Unauthorized")
        assert ask(cluster, "healthz") == (401, "Unauthorized")
        code, text = ask(cluster, f"run/{busy}/busy/main?cmd=id", tokens["proxy"], post=True)
        assert code == 403 and "verb=create, resource=nodes, subresource(s)=[proxy]" in text
    finally:
        cluster.kubectl("delete", "-f", "-", stdin=grants, namespace=busy)


def follow(cluster: Cluster, path: str) -> ssl.SSLSocket:
    plain = socket.create_connection((cluster.node_ip(), 10250), timeout=30)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    made = credentials(cluster).wrap_socket(plain, server_hostname=cluster.node_ip())
    made.sendall(f"GET /{path} HTTP/1.0\r\n\r\n".encode())
    return made


def test_readers_of_logs_are_no_burden(cluster: Cluster, busy: str) -> None:
    """Who does not read is waited for: what he is sent does not pile up in the kubelet, and nothing is lost. Who has gone
    leaves neither connection nor thread, though nothing more is said."""
    process = Path(f"/proc/{cluster.pid('-m', 'kubelet')}")

    def resident() -> int:
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    path = f"containerLogs/{busy}/talker/main?follow=true"
    before, size = len(list((process / "fd").iterdir())), resident()
    readers = [follow(cluster, path) for _ in range(6)]
    heard = readers[0].recv(1 << 16)
    assert b"200 OK" in heard
    eventually_sync(lambda: len(list((process / "fd").iterdir())) >= before + 12, "all are connected")
    left = SAID - len(heard.partition(b"\r\n\r\n")[2])
    while left > 0:
        piece = readers[0].recv(1 << 16)
        assert piece and not piece.strip(b"x\n")
        left -= len(piece)
    assert left == 0
    assert resident() - size < 20 * MIB, "five others have read nothing of 8 MB each"
    for reader in readers:
        reader.close()
    eventually_sync(
        lambda: len(list((process / "fd").iterdir())) <= before + 2, "nothing is left", within=30, pause=0.5
    )


def grant(namespace: str, name: str, resource: str) -> list[Obj]:
    """An account that may get this of nodes."""
    group, role = "rbac.authorization.k8s.io", f"stats-{name}"
    rules = [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    made: list[Obj] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}]
    if resource:
        version, of = f"{group}/v1", {"apiGroup": group, "kind": "ClusterRole", "name": role}
        meta = {"name": role}
        made += [
            {"apiVersion": version, "kind": "ClusterRole", "metadata": meta, "rules": rules},
            {
                "apiVersion": version,
                "kind": "ClusterRoleBinding",
                "metadata": meta,
                "roleRef": of,
                "subjects": [subject],
            },
        ]
    return made
