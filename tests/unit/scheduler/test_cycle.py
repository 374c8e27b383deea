from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cycle import schedule
from tests.unit.scheduler.objects import cluster, node, pod, run

HOST_PORT = [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]
NEEDS_SSD = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
        }
    }
}
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@pytest.mark.parametrize(
    ("nodes", "pod_fields", "expected"),
    [
        pytest.param(
            [node("a", cpu="1"), node("b", cpu="1"), node("c", taints=("dedicated=db:NoSchedule",))],
            {"cpu": "2"},
            "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, 2 Insufficient cpu. "
            f"preemption: 0/3 nodes are available: 1 {NOT_HELPFUL}, 2 {NO_VICTIMS}.",
            id="taint and cpu",
        ),
        pytest.param(
            [node("a", cpu="1", memory="1Gi")],
            {"cpu": "2", "memory": "2Gi"},
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. "
            f"preemption: 0/1 nodes are available: 1 {NO_VICTIMS}.",
            id="a node lacks two things",
        ),
        pytest.param(
            [node("a"), node("b")],
            {"nodeSelector": {"disk": "ssd"}},
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. "
            f"preemption: 0/2 nodes are available: 2 {NOT_HELPFUL}.",
            id="node selector",
        ),
        pytest.param(
            [node("a", unschedulable=True)],
            {},
            "0/1 nodes are available: 1 node(s) were unschedulable. "
            f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}.",
            id="cordoned",
        ),
        pytest.param(
            [node("a", max_pods=0)],
            {},
            f"0/1 nodes are available: 1 Too many pods. preemption: 0/1 nodes are available: 1 {NO_VICTIMS}.",
            id="too many pods",
        ),
        pytest.param(
            [node("a", taints=("node.kubernetes.io/not-ready:NoSchedule",))],
            {},
            "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. "
            f"preemption: 0/1 nodes are available: 1 {NOT_HELPFUL}.",
            id="not ready",
        ),
        pytest.param(
            [node("a")],
            {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]},
            "0/1 nodes are available: 1 Insufficient example.com/gpu. "
            f"preemption: 0/1 nodes are available: 1 {NO_VICTIMS}.",
            id="a resource no node has",
        ),
        pytest.param([], {}, "no nodes available to schedule pods", id="no nodes"),
    ],
)
def test_why_a_pod_fits_nowhere(nodes: list[Any], pod_fields: dict[str, Any], expected: str) -> None:
    decision = schedule(pod(**pod_fields), cluster(*nodes))
    assert (decision.node, decision.message) == ("", expected)


def test_a_taken_host_port_says_so() -> None:
    snapshot = cluster(node("a"))
    [first, second] = run(snapshot, [pod("one", containers=HOST_PORT), pod("two", containers=HOST_PORT)])
    assert first.node == "a"
    assert "1 node(s) didn't have free ports for the requested pod ports." in second.message
    assert second.blockers == {"NodePorts"}


@pytest.mark.parametrize(
    ("nodes", "pod_fields", "expected"),
    [
        pytest.param(
            [node("a"), node("b", labels={"disk": "ssd"})], {"nodeSelector": {"disk": "ssd"}}, "b", id="selector"
        ),
        pytest.param([node("a"), node("b", labels={"disk": "ssd"})], {"affinity": NEEDS_SSD}, "b", id="affinity"),
        pytest.param(
            [node("a"), node("b", taints=("k=v:NoSchedule",))],
            {
                "tolerations": [{"key": "k", "operator": "Equal", "value": "v"}],
                "nodeSelector": {"kubernetes.io/hostname": "b"},
            },
            "b",
            id="tolerated taint",
        ),
        pytest.param(
            [node("a", unschedulable=True)], {"tolerations": [{"operator": "Exists"}]}, "a", id="tolerates all"
        ),
        pytest.param([node("a", cpu="1"), node("b", cpu="8")], {"cpu": "500m"}, "b", id="least allocated"),
        pytest.param([node("a", taints=("k=v:PreferNoSchedule",)), node("b")], {}, "b", id="prefers without a taint"),
        pytest.param([node("a"), node("b", images={"web:1": 900 << 20})], {}, "b", id="prefers where the image is"),
        pytest.param(
            [node("a"), node("b", labels={"zone": "z"}), node("c")],
            {
                "affinity": {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "weight": 1,
                                "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]},
                            }
                        ]
                    }
                }
            },
            "b",
            id="preferred affinity",
        ),
        pytest.param(
            [node("a"), node("b")],
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
                            ]
                        }
                    }
                }
            },
            "b",
            id="by name",
        ),
        pytest.param(
            [node("a"), node("b", extra={"example.com/gpu": "2"})],
            {"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "1"}}}]},
            "b",
            id="extended resource",
        ),
    ],
)
def test_where_a_pod_goes(nodes: list[Any], pod_fields: dict[str, Any], expected: str) -> None:
    for start in range(len(nodes)):
        assert schedule(pod(**pod_fields), cluster(*nodes), start).node == expected


def spread(decisions: list[Any]) -> list[int]:
    return sorted(Counter(d.node for d in decisions).values())


@pytest.mark.parametrize("fields", [{}, {"owner": "rs"}, {"owner": "rs", "cpu": "100m"}], ids=str)
def test_six_equal_pods_on_three_equal_nodes_land_two_each(fields: dict[str, Any]) -> None:
    snapshot = cluster(node("a"), node("b"), node("c"))
    assert spread(run(snapshot, [pod(f"p{i}", **fields) for i in range(6)])) == [2, 2, 2]


def test_replicas_spread_although_one_node_is_much_larger() -> None:
    snapshot = cluster(node("a", cpu="64", memory="256Gi"), node("b"), node("c"))
    assert spread(run(snapshot, [pod(f"p{i}", owner="rs", cpu="100m") for i in range(6)])) == [2, 2, 2]


def test_bare_pods_of_a_service_spread() -> None:
    snapshot = cluster(node("a", cpu="64", memory="256Gi"), node("b"))
    snapshot.set_service({"metadata": {"name": "s", "namespace": "ns"}, "spec": {"selector": {"app": "x"}}})
    pods = [pod(f"p{i}", labels={"app": "x"}) for i in range(4)]
    assert spread(run(snapshot, pods)) == [2, 2]


def test_replicas_spread_over_zones_first() -> None:
    zone = "topology.kubernetes.io/zone"
    snapshot = cluster(node("a1", labels={zone: "a"}), node("a2", labels={zone: "a"}), node("b1", labels={zone: "b"}))
    by_node = Counter(d.node for d in run(snapshot, [pod(f"p{i}", owner="rs") for i in range(4)]))
    assert by_node["b1"] >= 1
    assert by_node["a1"] >= 1
    assert by_node["a2"] >= 1


REQUESTS = st.tuples(st.integers(0, 3000), st.integers(0, 4096))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 8192), st.integers(0, 8)), min_size=1, max_size=6),
    st.lists(REQUESTS, max_size=25),
)
def test_no_node_ever_holds_more_than_it_has(
    nodes: list[tuple[int, int, int]], requests: list[tuple[int, int]]
) -> None:
    snapshot = cluster(*[node(f"n{i}", f"{cpu}m", f"{mem}Mi", most) for i, (cpu, mem, most) in enumerate(nodes)])
    pods = [pod(f"p{i}", f"{cpu}m", f"{mem}Mi") for i, (cpu, mem) in enumerate(requests)]
    decisions = run(snapshot, pods)
    assert (snapshot.used <= snapshot.allocatable).all()
    assert (snapshot.pod_count <= snapshot.max_pods).all()
    for each, decision in zip(pods, decisions, strict=True):
        assert bool(decision.node) != bool(decision.message)
        assert snapshot.node_of(each.uid) == decision.node


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40))
def test_equal_pods_on_equal_nodes_never_differ_by_more_than_one(nodes: int, pods: int) -> None:
    snapshot = cluster(*[node(f"n{i}") for i in range(nodes)])
    decisions = run(snapshot, [pod(f"p{i}", cpu="50m") for i in range(pods)])
    counts = [Counter(d.node for d in decisions)[f"n{i}"] for i in range(nodes)]
    assert max(counts) - min(counts) <= 1


def test_the_same_history_ends_in_the_same_places() -> None:
    def history() -> list[str]:
        snapshot = cluster(*[node(f"n{i}") for i in range(5)])
        return [d.node for d in run(snapshot, [pod(f"p{i}", cpu="50m") for i in range(23)])]

    assert history() == history()
