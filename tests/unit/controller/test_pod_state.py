from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj
from controller import pod_state

from .make import NOW, pod


@pytest.mark.parametrize(
    ("options", "active"),
    [({}, True), ({"phase": "Pending"}, True), ({"phase": "Unknown"}, True), ({"phase": "Failed"}, False),
     ({"phase": "Succeeded"}, False), ({"deleting": True}, False)],
    ids=["running", "pending", "unknown", "failed", "succeeded", "terminating"],
)  # fmt: skip
def test_is_active(options: dict[str, Any], active: bool) -> None:
    assert pod_state.is_active(pod("a", **options)) is active


@pytest.mark.parametrize(
    ("ready", "min_ready", "available"),
    [(None, 0, False), (1, 0, True), (9, 10, False), (10, 10, True)],
    ids=["not ready", "at once", "too short", "long enough"],
)
def test_is_available(ready: float | None, min_ready: int, available: bool) -> None:
    assert pod_state.is_available(pod("a", ready=ready), min_ready, NOW) is available


def states(*rows: tuple[str, int]) -> list[Obj]:
    """(running | waiting | exit code, restarts) per container c0, c1 …"""
    result = []
    for index, (state, restarts) in enumerate(rows):
        shown: Obj = {state: {}} if state in ("running", "waiting") else {"terminated": {"exitCode": int(state)}}
        result.append({"name": f"c{index}", "restartCount": restarts, "state": shown})
    return result


@pytest.mark.parametrize(
    ("restart", "rows", "phase"),
    [
        ("Always", [("running", 0), ("running", 0)], "Running"),
        ("Always", [("running", 0), ("waiting", 0)], "Pending"),
        ("Always", [("running", 0), ("waiting", 2)], "Running"),
        ("Always", [("1", 0)], "Running"),
        ("Never", [("0", 0), ("0", 0)], "Succeeded"),
        ("Never", [("0", 0), ("3", 0)], "Failed"),
        ("OnFailure", [("3", 0)], "Running"),
        ("Never", [("running", 0), ("3", 0)], "Running"),
    ],
)
def test_phase_of_containers(restart: str, rows: list[tuple[str, int]], phase: str) -> None:
    containers = [{"name": f"c{i}"} for i in range(len(rows))]
    obj = pod("a", spec={"restartPolicy": restart, "containers": containers})
    obj["status"]["containerStatuses"] = states(*rows)
    assert pod_state.phase_of_containers(obj) == phase
