from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.relations import Group
from scheduler.snapshot import Change, Snapshot
from tests.unit.scheduler.objects import cluster, node, pod

GROUP = Group(("ns",), "rs")


def test_changes_are_told_and_a_heartbeat_is_none() -> None:
    snapshot = cluster(node("a"))
    assert snapshot.set_node(node("a")) == set()
    assert snapshot.set_node(node("a", cpu="5")) == {Change.NODE_RESOURCES}
    assert snapshot.set_node(node("a", cpu="5", labels={"x": "y"})) == {Change.NODE_LABELS}
    assert Change.NODE_TAINTS in snapshot.set_node(node("a", cpu="5", taints=("k=v:NoSchedule",)))
    assert Change.NODE_ADDED in snapshot.set_node(node("b"))


def test_an_assumed_pod_that_is_confirmed_counts_once() -> None:
    snapshot = cluster(node("a"), node("b"))
    assumed = pod("p", cpu="1")
    snapshot.place(assumed, "a")
    snapshot.place(assumed, "a")
    assert snapshot.used[0, snapshot.row_of["a"]] == 1000
    snapshot.place(assumed, "b")
    assert snapshot.used[0, snapshot.row_of["a"]] == 0
    assert snapshot.used[0, snapshot.row_of["b"]] == 1000
    assert snapshot.forget(assumed.uid)
    assert not snapshot.forget(assumed.uid)
    assert snapshot.used.sum() == 0


def test_pods_seen_before_their_node_count_when_it_comes() -> None:
    snapshot = cluster()
    snapshot.place(pod("p", cpu="1"), "late")
    snapshot.set_node(node("late"))
    assert snapshot.used[0, snapshot.row_of["late"]] == 1000
    snapshot.remove_node("late")
    snapshot.set_node(node("late"))
    assert snapshot.used[0, snapshot.row_of["late"]] == 1000


APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
        ]
    }
}
NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
STEPS = st.one_of(
    st.tuples(st.just("node"), NAMES, st.sampled_from(["x", "y"])),
    st.tuples(st.just("gone"), NAMES, st.just("")),
    st.tuples(st.just("place"), st.sampled_from(["p", "q", "r", "s"]), NAMES),
    st.tuples(st.just("forget"), st.sampled_from(["p", "q", "r", "s"]), st.just("")),
    st.tuples(st.just("group"), st.just(""), st.just("")),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_any_history_equals_a_fresh_count(steps: list[tuple[str, str, str]]) -> None:
    snapshot = Snapshot(capacity=1)
    nodes: dict[str, dict[str, Any]] = {}
    placed: dict[str, str] = {}
    for step, name, at in steps:
        if step == "node":
            nodes[name] = node(name, labels={"l": at})
            snapshot.set_node(nodes[name])
        elif step == "gone":
            nodes.pop(name, None)
            snapshot.remove_node(name)
        elif step == "place":
            placed[name] = at
            snapshot.place(_pod(name), at)
        elif step == "forget":
            placed.pop(name, None)
            snapshot.forget(f"uid-{name}")
        else:
            snapshot.group(GROUP)
    fresh = cluster(*nodes.values())
    for name, at in placed.items():
        fresh.place(_pod(name), at)
    assert set(snapshot.row_of) == set(nodes)
    for name in nodes:
        mine, theirs = snapshot.row_of[name], fresh.row_of[name]
        assert np.array_equal(snapshot.used[:, mine], fresh.used[:, theirs])
        assert np.array_equal(snapshot.allocatable[:, mine], fresh.allocatable[:, theirs])
        assert np.array_equal(snapshot.weight[:, mine], fresh.weight[:, theirs])
        assert snapshot.pod_count[mine] == fresh.pod_count[theirs]
        assert snapshot.group(GROUP)[mine] == fresh.group(GROUP)[theirs]
        assert snapshot.labels.get(mine) == fresh.labels.get(theirs)
    hermits = {name: 1 for p, name in placed.items() if p == "s" and name in nodes}
    counts = [each[snapshot.row_of[name]] for each in snapshot.apart.values() for name in hermits]
    assert counts == [1] * len(hermits)
    assert len(snapshot.apart) == len(hermits)
    assert (snapshot.used[:, ~snapshot.alive] == 0).all()
    assert np.array_equal(snapshot.room, snapshot.allocatable[:2] - snapshot.weight)


def _pod(name: str) -> Any:
    ports = [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]
    if name == "s":
        return pod(name, affinity=APART)
    return pod(name, cpu="1", owner="rs") if name < "r" else pod(name, containers=ports)
