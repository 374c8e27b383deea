"""Graceful node shutdown: the order in which pods go, and the time each has."""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj
from kubelet.configuration import API_VERSION, KIND, parse
from kubelet.node.shutdown_plan import Period, grace, groups, periods


def configured(**fields: Any) -> Any:
    return parse({"apiVersion": API_VERSION, "kind": KIND, **fields})


def pod(name: str, priority: int | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {"priority": priority, **spec},
        "status": {"phase": "Running"},
    }


def test_nothing_is_waited_for_by_default() -> None:
    assert periods(configured()) == ()


def test_critical_pods_have_the_last_part_of_the_time() -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#configuring-graceful-node-shutdown."""
    found = periods(configured(shutdownGracePeriod="30s", shutdownGracePeriodCriticalPods="10s"))
    assert found == (Period(0, 20), Period(2_000_000_000, 10))


def test_periods_by_priority() -> None:
    given = [{"priority": 1000, "shutdownGracePeriodSeconds": 5}, {"priority": 0, "shutdownGracePeriodSeconds": 60}]
    assert periods(configured(shutdownGracePeriodByPodPriority=given)) == (Period(0, 60), Period(1000, 5))


def test_pods_are_grouped_by_the_next_lower_priority() -> None:
    """groupByPriority; the lowest takes what is below it, and groups without pods are not waited for."""
    of = (Period(10, 1), Period(100, 2), Period(1000, 3))
    pods = [pod("a", 5), pod("b", 10), pod("c", 99), pod("d", 5000), pod("e")]
    found = {g.period.priority: [p["metadata"]["name"] for p in g.pods] for g in groups(of, pods)}
    assert found == {10: ["a", "b", "c", "e"], 1000: ["d"]}


@pytest.mark.parametrize(("own", "given"), [(None, 20), (5, 5), (20, 20), (300, 20)])
def test_a_pod_has_at_most_its_own_grace(own: int | None, given: int) -> None:
    assert grace(Period(0, 20), pod("p", terminationGracePeriodSeconds=own)) == given
