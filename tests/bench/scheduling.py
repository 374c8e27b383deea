"""The real scheduler against the real apiserver and nodes that exist only as objects: pods bound per second."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import load
from tests.bench.report import Report
from tests.harness.etcd import EtcdServer
from tests.harness.pki import Pki
from tests.harness.process import Process, free_port

_PODS = 1000


def _node(number: int) -> bytes:
    size = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    return json.dumps(
        {
            "metadata": {"name": f"node-{number}", "labels": {"kubernetes.io/hostname": f"node-{number}"}},
            "status": {
                "capacity": size,
                "allocatable": size,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }
    ).encode()


def _pod(number: int, spec: dict[str, Any]) -> bytes:
    container = {"name": "main", "image": "x:1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
    return json.dumps(
        {
            "metadata": {"name": f"pod-{number}", "labels": {"app": "bench"}},
            # A new node is tainted until its kubelet says that it is ready; these have none.
            "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}], **spec},
        }
    ).encode()


_ANTI_AFFINITY = {
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "labelSelector": {"matchLabels": {"app": "bench"}},
                        "topologyKey": "kubernetes.io/hostname",
                    },
                }
            ]
        }
    }
}


async def measure(report: Report, directory: Path) -> None:
    for nodes in (1000, 5000):
        rate = await _run(directory / f"nodes-{nodes}", nodes, {})
        report.add(f"bind pods over HTTP, {nodes:,} nodes", f"{rate:,.0f} /s", goal="≥ 600 /s")
    rate = await _run(directory / "anti-affinity", 5000, _ANTI_AFFINITY)
    report.add("the same on 5,000 nodes with preferred pod anti-affinity", f"{rate:,.0f} /s", goal="≥ 300 /s")


async def _run(directory: Path, nodes: int, spec: dict[str, Any]) -> float:
    pki = Pki(directory / "pki")
    etcd = EtcdServer(directory / "etcd", pki)
    server = load.as_up_has_it(directory, etcd)
    health = free_port()
    argv = [sys.executable, "-m", "scheduler", "--kubeconfig", str(server.kubeconfig(server.identity("system:kube-scheduler"), "scheduler")),
            "--no-leader-elect", "--healthz-port", str(health)]  # fmt: skip
    scheduler = Process("scheduler", argv, directory / "scheduler.log", ready=lambda: _answers(health))
    etcd.start()
    try:
        server.start()
        context = load.client_context(server)
        host = f"127.0.0.1:{server.port}"
        made = await load.run(
            server.port,
            context,
            lambda n: load.request("POST", "/api/v1/nodes", host, _node(n)),
            requests=nodes,
            expect=201,
        )
        print(f"    {nodes} nodes registered at {made.per_second:,.0f} /s")
        path = "/api/v1/namespaces/default/pods"
        await load.make_account(server)
        await load.run(
            server.port, context, lambda n: load.request("POST", path, host, _pod(n, spec)), requests=_PODS, expect=201
        )
        connection = await load.Connection.open(server.port, context)
        counting = asyncio.create_task(_bound(connection, host))
        scheduler.start(wait=False)
        await asyncio.to_thread(scheduler.wait_ready)
        return await counting
    finally:
        scheduler.stop()
        server.stop()
        etcd.stop()


async def _bound(connection: load.Connection, host: str) -> float:
    """Bindings per second as a watcher sees them, between a tenth and all of the pods: start-up is not in it."""
    path = "/api/v1/namespaces/default/pods?watch=1&timeoutSeconds=120&resourceVersion=0"
    bound: set[str] = set()
    first = 0.0
    async for line in connection.lines(load.request("GET", path, host)):
        pod = json.loads(line)["object"]
        if pod["spec"].get("nodeName"):
            bound.add(pod["metadata"]["name"])
        if not first and len(bound) >= _PODS // 10:
            first = time.perf_counter()
            at = len(bound)
        if len(bound) == _PODS:
            connection.close()
            return (_PODS - at) / (time.perf_counter() - first)
    raise RuntimeError(f"the scheduler bound {len(bound)} of {_PODS} pods in 120 s")


def _answers(port: int) -> bool:

    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
