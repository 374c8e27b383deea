"""Tables and ages read as upstream's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api import printing, tables
from api.builtin import BUILTIN, PODS
from api.kinds import pod as pod_kind

NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "<invalid>"), (0, "0s"), (119, "119s"), (120, "2m"), (310, "5m10s"), (600, "10m"), (3 * 3600, "3h"),
     (3 * 3600 + 25 * 60, "3h25m"), (9 * 3600, "9h"), (50 * 3600, "2d2h"), (8 * 86400, "8d"), (800 * 86400, "2y70d"),
     (9 * 365 * 86400, "9y")],
)  # fmt: skip
def test_ages(seconds: float, text: str) -> None:
    assert printing.age(seconds) == text


def _pod(*, phase: str = "Running", statuses: Any = (), init: Any = (), **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata},
        "spec": {"containers": [{"name": s["name"]} for s in statuses] or [{"name": "a"}], "initContainers": [{"name": s["name"]} for s in init]},
        "status": {"phase": phase, "containerStatuses": list(statuses), "initContainerStatuses": list(init)},
    }  # fmt: skip


def _status(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "a", "state": state, "restartCount": 0, "ready": False, **more}


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        pytest.param(_pod(phase="Pending"), "Pending", id="pending"),
        pytest.param(_pod(phase="Pending", statuses=[_status({"waiting": {"reason": "ContainerCreating"}})]), "ContainerCreating", id="creating"),
        pytest.param(_pod(statuses=[_status({"waiting": {"reason": "CrashLoopBackOff"}})]), "CrashLoopBackOff", id="crash loop"),
        pytest.param(_pod(statuses=[_status({"running": {}}, ready=True)]), "Running", id="running"),
        pytest.param(_pod(phase="Succeeded", statuses=[_status({"terminated": {"exitCode": 0, "reason": "Completed"}})]), "Completed", id="completed"),
        pytest.param(_pod(phase="Failed", statuses=[_status({"terminated": {"exitCode": 3}})]), "ExitCode:3", id="exit code"),
        pytest.param(_pod(phase="Pending", init=[_status({"running": {}})]), "Init:0/1", id="init"),
        pytest.param(_pod(phase="Pending", init=[_status({"waiting": {"reason": "CrashLoopBackOff"}})]), "Init:CrashLoopBackOff", id="init crash loop"),
        pytest.param(_pod(statuses=[_status({"running": {}}, ready=True)], deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating", id="terminating"),
    ],
)  # fmt: skip
def test_status_column_of_pods(pod: dict[str, Any], reason: str) -> None:
    assert pod_kind.reason(pod) == reason


def test_init_containers_are_history_once_the_pod_is_initialized() -> None:
    """A sidecar that ended with its finished pod does not make it `Init:Error`."""
    pod = _pod(
        phase="Succeeded",
        statuses=[_status({"terminated": {"exitCode": 0, "reason": "Completed"}})],
        init=[_status({"terminated": {"exitCode": 137, "reason": "Error"}}, name="sidecar")],
    )
    assert pod_kind.reason(pod) == "Init:Error"
    pod["status"]["conditions"] = [{"type": "Initialized", "status": "True"}]
    assert pod_kind.reason(pod) == "Completed"


def test_restarts_tell_when() -> None:
    ended = {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}
    pod = _pod(statuses=[_status({"running": {}}, ready=True, restartCount=2, lastState=ended)])
    assert tables.cells(PODS, pod, NOW)[:5] == ["p", "1/1", "Running", "2 (5m ago)", "10m"]


def test_every_kind_prints_one_cell_for_each_column() -> None:
    minimal: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"template": {}, "type": "ClusterIP"}}
    for resource in BUILTIN:
        made = tables.table(resource, [minimal], NOW)
        assert len(made["rows"][0]["cells"]) == len(made["columnDefinitions"]), resource.kind
