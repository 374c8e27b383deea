from __future__ import annotations

from typing import Any

import pytest

from api import meta
from controller import replicaset_plan

from .make import NOW, pod, replica_set

COST = replicaset_plan.DELETION_COST


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, []), (1, [1]), (5, [1, 2, 2]), (500, [1, 2, 4, 8, 16, 32, 64, 128, 245])],
)
def test_batches_double(count: int, expected: list[int]) -> None:
    assert list(replicaset_plan.batches(count)) == expected


@pytest.mark.parametrize(("size", "active", "expected"), [(3, 1, 2), (3, 3, 0), (1, 4, -3), (900, 0, 500)])
def test_difference(size: int, active: int, expected: int) -> None:
    pods = [pod(str(i)) for i in range(active)]
    assert replicaset_plan.difference(replica_set("rs", size), pods) == expected


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        pytest.param({"node": "", "ready": True}, {"phase": "Pending"}, id="unassigned first"),
        pytest.param({"phase": "Pending"}, {"phase": "Unknown"}, id="pending before unknown"),
        pytest.param({"phase": "Unknown"}, {"phase": "Running"}, id="unknown before running"),
        pytest.param({"ready": None}, {"ready": True}, id="not ready before ready"),
        pytest.param(
            {"ready": 9999, "annotations": {COST: "-5"}}, {"ready": 1, "annotations": {COST: "1"}}, id="cheaper first"
        ),
        pytest.param({"ready": 9999, "node": "n1"}, {"ready": 1, "node": "n2"}, id="from the crowded node"),
        pytest.param({"ready": 5}, {"ready": 500}, id="ready for a shorter time"),
        pytest.param({"ready": 60, "restarts": 3}, {"ready": 60, "restarts": 0}, id="more restarts"),
        pytest.param({"ready": 60, "created": 70}, {"ready": 60, "created": 7000}, id="newer"),
    ],
)
def test_victims(worse: dict[str, Any], better: dict[str, Any]) -> None:
    """Whatever their order, the worse of two goes. Node n1 holds two more pods of the same owner."""
    one, other = pod("b-worse", **worse), pod("a-better", **better)
    related = [one, other]
    if worse.get("node") == "n1":
        related += [pod("c", node="n1"), pod("d", node="n1")]
    for pods in ([one, other], [other, one]):
        assert [meta.name(p) for p in replicaset_plan.victims(pods, related, 1, NOW)] == ["b-worse"]


def test_a_cost_that_is_no_number_counts_as_none() -> None:
    pods = [pod("a", ready=600, annotations={COST: "cheap"}), pod("b", ready=6)]
    assert [meta.name(p) for p in replicaset_plan.victims(pods, pods, 1, NOW)] == ["b"]


def test_a_pod_takes_after_the_template() -> None:
    rs = replica_set("web-abc", 1)
    rs["spec"]["template"]["metadata"]["annotations"] = {"note": "x"}
    made = replicaset_plan.pod_from(rs)
    assert made["metadata"] == {
        "generateName": "web-abc-", "namespace": "default", "labels": {"app": "web", "pod-template-hash": "web-abc"},
        "annotations": {"note": "x"}, "ownerReferences": [meta.controller_reference(rs, "apps/v1", "ReplicaSet")],
    }  # fmt: skip
    made["spec"]["containers"][0]["image"] = "changed"
    assert rs["spec"]["template"]["spec"]["containers"][0]["image"] == "web-abc"


def test_status_counts() -> None:
    rs = replica_set("rs", 3)
    rs["spec"]["minReadySeconds"] = 10
    labels = rs["spec"]["template"]["metadata"]["labels"]
    pods = [pod("a", ready=5, labels=labels), pod("b", ready=50, labels=labels), pod("c")]
    assert replicaset_plan.status(rs, pods, 1, None, NOW) == {
        "replicas": 3, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 1,
        "terminatingReplicas": 1, "observedGeneration": 1,
    }  # fmt: skip
    assert replicaset_plan.next_available_in(rs, pods, NOW) == pytest.approx(5.1)


def test_a_failure_is_noted_once_and_taken_back() -> None:
    rs = replica_set("rs", 3)
    rs["status"] = replicaset_plan.status(rs, [], 0, ("FailedCreate", "quota"), NOW)
    assert rs["status"]["conditions"][0]["reason"] == "FailedCreate"
    again = replicaset_plan.status(rs, [], 0, ("FailedCreate", "another text"), NOW)
    assert again == rs["status"]
    assert "conditions" not in replicaset_plan.status(rs, [], 0, None, NOW)
