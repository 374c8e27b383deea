"""Building blocks for kubelet tests: pods and containers with one line each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.meta import Obj
from kubelet.pods.model import SANDBOX, Container, PodContainers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def pod(*names: str, init: tuple[str, ...] = (), policy: str = "Always", status: Obj | None = None, **spec: Any) -> Obj:
    body: Obj = {
        "restartPolicy": policy,
        "nodeName": "n1",
        "containers": [{"name": n, "image": "busybox:1"} for n in names or ("app",)],
        **spec,
    }
    if init:
        body["initContainers"] = [{"name": n, "image": "busybox:1"} for n in init]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u-1", "generation": 1},
        "spec": body,
        "status": status or {},
    }


def deleted(obj: Obj, grace: int = 30) -> Obj:
    stamp = {"deletionTimestamp": "2026-01-02T03:04:35Z", "deletionGracePeriodSeconds": grace}
    return {**obj, "metadata": {**obj["metadata"], **stamp}}


def sandbox(attempt: int = 0, state: str = "running") -> Container:
    return Container(
        f"sb-{attempt}", "u-1", "web", "default", SANDBOX, attempt, state,
        created_at=NOW, started_at=NOW, ips=("10.0.0.9",),
    )  # fmt: skip


def running(name: str = "app", attempt: int = 0, box: int = 0, **more: Any) -> Container:
    return Container(
        f"{name}-{attempt}", "u-1", "web", "default", name, attempt, "running",
        sandbox_id=f"sb-{box}", created_at=NOW, started_at=NOW, image_id="docker://sha256:1", **more,
    )  # fmt: skip


def exited(name: str = "app", attempt: int = 0, code: int = 0, box: int = 0, ago: float = 0, **more: Any) -> Container:
    ended = NOW - timedelta(seconds=ago)
    return Container(
        f"{name}-{attempt}", "u-1", "web", "default", name, attempt, "exited",
        sandbox_id=f"sb-{box}", created_at=NOW, started_at=NOW, finished_at=ended, exit_code=code,
        image_id="docker://sha256:1", **more,
    )  # fmt: skip


def seen(*containers: Container) -> PodContainers:
    return PodContainers.of(containers)
