from __future__ import annotations

from typing import Any

import pytest

from scheduler.pod import Taint, Toleration, read
from tests.unit.scheduler.objects import pod, pod_object


def container(cpu: str = "", memory: str = "", **fields: Any) -> dict[str, Any]:
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    return {"name": "c", "resources": {"requests": requests}, **fields}


@pytest.mark.parametrize(
    ("spec", "requests"),
    [
        pytest.param({"containers": [container("1"), container("500m")]}, {"cpu": 1500}, id="containers add up"),
        pytest.param(
            {"containers": [container("1")], "initContainers": [container("3"), container("2")]},
            {"cpu": 3000},
            id="the largest init container",
        ),
        pytest.param(
            {
                "containers": [container("1")],
                "initContainers": [
                    container("100m", restartPolicy="Always"), container("2"), container("1", restartPolicy="Always")
                ],
            },
            {"cpu": 2100},
            id="sidecars run on, and beside later init containers",
        ),
        pytest.param(
            {"containers": [container("1")], "overhead": {"cpu": "250m", "memory": "1Mi"}},
            {"cpu": 1250, "memory": 1 << 20},
            id="overhead",
        ),
        pytest.param(
            {"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, {"cpu": 4000}, id="whole pod"
        ),
        pytest.param({"containers": [container()]}, {}, id="nothing"),
        pytest.param({"containers": [container("0", "0")]}, {}, id="zero is nothing"),
    ],
)  # fmt: skip
def test_requests(spec: dict[str, Any], requests: dict[str, int]) -> None:
    assert pod(**spec).requests == requests


def test_a_container_that_asks_for_nothing_still_weighs_something() -> None:
    assert pod(containers=[container(), container("1", "1Gi")]).weight == (1100, (200 << 20) + (1 << 30))


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param(Toleration("k", "Equal", "v", "NoSchedule"), True, id="exactly"),
        pytest.param(Toleration("k", "Equal", "w", "NoSchedule"), False, id="other value"),
        pytest.param(Toleration("k", "Exists", "", ""), True, id="exists"),
        pytest.param(Toleration("", "Exists", "", ""), True, id="everything"),
        pytest.param(Toleration("", "Exists", "", "NoExecute"), False, id="everything of another effect"),
        pytest.param(Toleration("j", "Exists", "", ""), False, id="other key"),
    ],
)
def test_tolerations(toleration: Toleration, expected: bool) -> None:
    assert toleration.tolerates(Taint("k", "v", "NoSchedule")) is expected


def test_a_resize_counts_as_far_as_it_has_come() -> None:
    """KEP-1287: what is Infeasible is not held for the pod; else the most of what is wanted, granted and in effect."""
    wants, has = pod_object("p", cpu="8"), {"cpu": "1"}
    told = [{"name": "c", "resources": {"requests": has}, "allocatedResources": has}]

    def counted(reason: str) -> int:
        condition = {"type": "PodResizePending", "status": "True", "reason": reason}
        return read({**wants, "status": {"containerStatuses": told, "conditions": [condition]}}).requests["cpu"]

    assert (counted("Infeasible"), counted("Deferred"), read(wants).requests["cpu"]) == (1000, 8000, 8000)
