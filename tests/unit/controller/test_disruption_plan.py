"""How many may go: https://kubernetes.io/docs/tasks/run-application/configure-pdb/ and KEP-3329."""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj
from controller import disruption_plan
from controller.disruption_plan import Expected

from .make import NOW, ago, pod


def budget(status: Obj | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "web", "namespace": "default", "generation": 3}, "spec": spec, "status": status or {}}


@pytest.mark.parametrize(
    ("spec", "scale", "pods", "healthy"),
    [
        ({"minAvailable": 2}, 5, 3, 2),  # a number: the pods there are, whoever owns them
        ({"minAvailable": "50%"}, 5, 5, 3),  # a share: of what is wanted, rounded up
        ({"minAvailable": "100%"}, 5, 5, 5),
        ({"maxUnavailable": 2}, 5, 5, 3),
        ({"maxUnavailable": 7}, 5, 5, 0),
        ({"maxUnavailable": "30%"}, 5, 5, 3),  # rounded up too: two may go
        ({"maxUnavailable": "0%"}, 5, 5, 5),
        ({}, 5, 0, 0),
    ],
)
def test_expected(spec: dict[str, Any], scale: int, pods: int, healthy: int) -> None:
    there = [pod(name, owner="rs") for name in "abc"]
    found = disruption_plan.expected(budget(**spec), there, {"uid-rs": scale})
    assert (found.pods, found.healthy, found.unmanaged) == (pods, healthy, [])


def test_pods_without_a_controller_are_named_when_their_number_is_asked() -> None:
    there = [pod("a", owner="rs"), pod("b")]
    assert disruption_plan.expected(budget(maxUnavailable=1), there, {"uid-rs": 1}).unmanaged == ["b"]
    assert disruption_plan.expected(budget(minAvailable=1), there, {}).unmanaged == []


@pytest.mark.parametrize(
    ("ready", "noted", "wanted", "healthy", "allowed", "reason"),
    [
        ("abc", "", Expected(3, 2), 3, 1, "SufficientPods"),
        ("ab", "", Expected(3, 2), 2, 0, "InsufficientPods"),
        ("abc", "a", Expected(3, 2), 2, 0, "InsufficientPods"),  # one has been promised away
        ("a", "", Expected(3, 2), 1, 0, "InsufficientPods"),
        ("abc", "", Expected(0, 0), 3, 0, "InsufficientPods"),
    ],
)
def test_status(ready: str, noted: str, wanted: Expected, healthy: int, allowed: int, reason: str) -> None:
    there = [pod(name, ready=name in ready) for name in "abc"] + [pod("d", ready=True, deleting=True)]
    status = disruption_plan.status(budget(), there, wanted, {name: ago(1) for name in noted}, NOW)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (healthy, allowed)
    assert (status["expectedPods"], status["desiredHealthy"]) == (wanted.pods, wanted.healthy)
    assert status["observedGeneration"] == 3
    condition = status["conditions"][0]
    assert (condition["type"], condition["status"]) == ("DisruptionAllowed", str(allowed > 0))
    assert condition["reason"] == reason


def test_an_evicted_pod_counts_as_gone_for_two_minutes() -> None:
    noted = {"fresh": ago(30), "old": ago(200), "leaving": ago(5), "gone": ago(5)}
    there = [pod("fresh"), pod("old"), pod("leaving", deleting=True), pod("other")]
    kept, again = disruption_plan.still_disrupted(budget({"disruptedPods": noted}), there, NOW)
    assert kept == {"fresh": ago(30)}
    assert again == 90
    assert disruption_plan.still_disrupted(budget(), there, NOW) == ({}, None)


def test_what_cannot_be_counted_allows_nothing() -> None:
    before = {"disruptionsAllowed": 2, "currentHealthy": 4}
    status = disruption_plan.failed(budget(before), "found no controllers", NOW)
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 4)
    condition = status["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("False", "SyncFailed")
    assert condition["message"] == "found no controllers"


@pytest.mark.parametrize(
    ("options", "since", "seconds"),
    [({}, 30, 90), ({}, 500, 0), ({"deleting": True}, 500, None), ({"phase": "Failed"}, 500, None), ({}, None, None)],
)
def test_an_announced_disruption_that_never_came(
    options: dict[str, Any], since: float | None, seconds: float | None
) -> None:
    target = pod("a", **options)
    if since is not None:
        condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": ago(since)}
        target["status"]["conditions"].append(condition)
    assert disruption_plan.stale_condition_in(target, NOW) == seconds
