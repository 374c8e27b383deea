"""Waiting until the cluster works, and saying why when it does not. Conditions with deadlines, no guessed sleeps."""

from __future__ import annotations

import http.client
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deploy import host
from deploy.api_calls import ApiServer, Obj, condition
from deploy.docker_api import Engine
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.supervision import Supervision
from deploy.systemd import unit_name

API_DEADLINE = 60.0
NODE_DEADLINE = 90.0
HEALTH_DEADLINE = 30.0
EXAMPLE_DEADLINE = 120.0
_PAUSE = 0.03


def api(server: ApiServer, layout: Layout) -> None:
    """The apiserver answers and its store is in order."""
    why = "it does not answer"

    def ready() -> bool:
        nonlocal why
        why = server.readiness()
        return not why

    if not until(ready, API_DEADLINE):
        raise Failure(
            f"the apiserver is not ready after {API_DEADLINE:.0f} s: {why}{log_tail(layout, 'apiserver')}",
            "sampan logs apiserver, and sampan logs etcd, tell more",
        )


def nodes(server: ApiServer, names: Iterable[str], layout: Layout) -> None:
    """Every one of the nodes is Ready."""
    waiting = dict.fromkeys(names, "it has not registered")
    deadline = time.monotonic() + NODE_DEADLINE
    while waiting and time.monotonic() < deadline:
        try:
            for node in server.watch("/api/v1/nodes", deadline - time.monotonic()):
                name = node["metadata"]["name"]
                ready = condition(node, "Ready")
                if name in waiting:
                    waiting[name] = ready.get("message") or "it has not reported yet"
                    if ready.get("status") == "True" and node["spec"].get("podCIDR"):
                        del waiting[name]
                if not waiting:
                    return
        except (OSError, http.client.HTTPException):
            time.sleep(_PAUSE)
    if waiting:
        name, why = next(iter(waiting.items()))
        raise Failure(
            f"node {name} is not Ready after {NODE_DEADLINE:.0f} s: {why}"
            f"{log_tail(layout, 'kubelet') or log_tail(layout, f'kubelet-{name}')}",
            "sampan status, and sampan logs kubelet, tell more",
        )


def health(rows: Iterable[dict[str, Any]], supervision: Supervision, layout: Layout) -> None:
    """Every daemon runs, and those that answer /healthz say ok."""
    for row in rows:
        why = ""

        def well(row: dict[str, Any] = row) -> bool:
            nonlocal why
            why = ailment(row, supervision)
            return not why

        if not until(well, HEALTH_DEADLINE):
            raise Failure(f"{row['name']} {why}{log_tail(layout, row['name'])}", f"sampan logs {row['name']}")


def ailment(row: dict[str, Any], supervision: Supervision) -> str:
    """What is wrong with a daemon, "" when it runs and is healthy."""
    if supervision.running(row["name"]) is None:
        return "is not running"
    if row["docker"] and not Engine(Path(row["docker"])).answers():
        return f"does not answer on {row['docker']}"
    port = row["health"]
    if not port:
        return ""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=3) as answer:
            answer.read()
        return ""
    except (OSError, http.client.HTTPException) as error:
        return f"does not say it is healthy on port {port}: {error}"


def deployment(server: ApiServer, namespace: str, name: str) -> None:
    """Every replica of the Deployment is available."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    deadline = time.monotonic() + EXAMPLE_DEADLINE
    last: Obj = {}
    while time.monotonic() < deadline:
        try:
            for last in server.watch(path, deadline - time.monotonic()):
                if last["metadata"]["name"] == name and available(last):
                    return
        except (OSError, http.client.HTTPException):
            time.sleep(_PAUSE)
    have, want = last.get("status", {}).get("availableReplicas", 0), last.get("spec", {}).get("replicas", "?")
    raise Failure(
        f"{have} of {want} pods of the example are available after {EXAMPLE_DEADLINE:.0f} s",
        "kubectl describe pods tells why",
    )


def available(deployment: Obj) -> bool:
    status = deployment.get("status", {})
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(seen and status.get("availableReplicas", 0) >= deployment["spec"].get("replicas", 1))


def answer(url: str, seconds: float) -> str:
    """What the URL answers with, as soon as it does."""
    text, why = "", ""

    def answers() -> bool:
        nonlocal text, why
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                text = response.read().decode(errors="replace").strip()
            return True
        except (OSError, http.client.HTTPException) as error:
            why = str(error)
            return False

    if not until(answers, seconds):
        raise Failure(f"{url} does not answer: {why}", "sampan logs proxy, and kubectl get endpoints, tell more")
    return text


def log_tail(layout: Layout, name: str) -> str:
    """The last words of a daemon, for the end of a sentence."""
    lines = [line for line in _log_end(layout, name).decode(errors="replace").splitlines() if line.strip()]
    return f"\n  its log ends: {lines[-1][:300]}" if lines else ""


def _log_end(layout: Layout, name: str) -> bytes:
    if host.has_systemd():
        # Not --unit: that would show what systemd says about the daemon, which is always the last word.
        argv = ["journalctl", "--quiet", "--output=cat", "--lines=5", f"_SYSTEMD_UNIT={unit_name(name)}"]
        return subprocess.run(argv, capture_output=True, check=False).stdout
    file = layout.logs / f"{name}.log"
    if not file.exists():
        return b""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - 4096))
        return log.read()


def until(true: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True
