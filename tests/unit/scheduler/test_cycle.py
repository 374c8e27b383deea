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
    snapshot.relations.set_service({"metadata": {"name": "s", "namespace": "ns"}, "spec": {"selector": {"app": "x"}}})
    pods = [pod(f"p{i}", labels={"app": "x"}) for i in range(4)]
    assert spread(run(snapshot, pods)) == [2, 2]


def test_replicas_spread_over_zones_first() -> None:
    zone = "topology.kubernetes.io/zone"
    snapshot = cluster(node("a1", labels={zone: "a"}), node("a2", labels={zone: "a"}), node("b1", labels={zone: "b"}))
    by_node = Counter(d.node for d in run(snapshot, [pod(f"p{i}", owner="rs") for i in range(4)]))
    assert by_node["b1"] >= 1
    assert by_node["a1"] >= 1
    assert by_node["a2"] >= 1


def term(topology: str = "kubernetes.io/hostname", **labels: str) -> dict[str, Any]:
    return {"topologyKey": topology, "labelSelector": {"matchLabels": labels}}


def required(kind: str, *terms: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def preferred(kind: str, weight: int, wished: dict[str, Any]) -> dict[str, Any]:
    wishes = [{"weight": weight, "podAffinityTerm": wished}]
    return {kind: {"preferredDuringSchedulingIgnoredDuringExecution": wishes}}


WEB = {"app": "web"}


def test_pods_that_want_to_be_apart_fill_the_nodes_and_then_wait() -> None:
    snapshot = cluster(node("a"), node("b"))
    apart = required("podAntiAffinity", term(app="web"))
    decisions = run(snapshot, [pod(f"p{i}", labels=WEB, affinity=apart) for i in range(3)])
    assert {d.node for d in decisions[:2]} == {"a", "b"}
    assert decisions[2].message.startswith(
        "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules. preemption: "
    )


def test_a_pod_that_is_there_may_not_want_the_new_one() -> None:
    snapshot = cluster(node("a"), node("b"))
    hermit = pod("hermit", affinity=required("podAntiAffinity", term(app="web")))
    snapshot.place(hermit, "a")
    decisions = run(snapshot, [pod(f"p{i}", labels=WEB) for i in range(3)])
    assert {d.node for d in decisions} == {"b"}
    snapshot.remove_node("b")
    assert (
        "1 node(s) didn't satisfy existing pods anti-affinity rules."
        in schedule(pod("q", labels=WEB), snapshot).message
    )
    snapshot.forget("uid-hermit")
    assert schedule(pod("q", labels=WEB), snapshot).node == "a"


def test_pods_that_want_to_be_together_follow_the_first() -> None:
    snapshot = cluster(node("a"), node("b"), node("c"))
    together = required("podAffinity", term(app="web"))
    decisions = run(snapshot, [pod(f"p{i}", labels=WEB, affinity=together) for i in range(4)])
    assert len({d.node for d in decisions}) == 1
    stranger = schedule(pod("q", affinity=required("podAffinity", term(app="db"))), snapshot)
    assert "3 node(s) didn't match pod affinity rules." in stranger.message


def test_preferred_company_decides_between_nodes() -> None:
    snapshot = cluster(node("a"), node("b"), node("c"))
    snapshot.place(pod("there", labels=WEB), "b")
    assert schedule(pod("q", affinity=preferred("podAffinity", 10, term(app="web"))), snapshot).node == "b"
    apart = preferred("podAntiAffinity", 100, term(app="web"))
    assert spread(run(snapshot, [pod(f"p{i}", labels=WEB, affinity=apart) for i in range(5)])) == [1, 2, 2]


def test_another_namespace_is_another_world_unless_selected() -> None:
    snapshot = cluster(node("a"))
    snapshot.relations.set_namespace({"metadata": {"name": "ns", "labels": {"team": "x"}}})
    snapshot.place(pod("there", labels=WEB), "a")
    elsewhere = {**term(app="web"), "namespaces": ["other"]}
    assert schedule(pod("q", affinity=required("podAntiAffinity", elsewhere)), snapshot).node == "a"
    for selector in ({}, {"matchLabels": {"team": "x"}}):
        selected = {**elsewhere, "namespaceSelector": selector}
        assert not schedule(pod("q", affinity=required("podAntiAffinity", selected)), snapshot).node


def constraint(skew: int, when: str = "DoNotSchedule", topology: str = "zone", **more: Any) -> dict[str, Any]:
    selector = {"matchLabels": WEB}
    return {
        "maxSkew": skew, "topologyKey": topology, "whenUnsatisfiable": when, "labelSelector": selector, **more
    }  # fmt: skip


def test_hard_spread_keeps_zones_level_although_one_has_no_room() -> None:
    snapshot = cluster(node("a", labels={"zone": "a"}), node("b", labels={"zone": "b"}, max_pods=1), node("c"))
    pods = [pod(f"p{i}", labels=WEB, topologySpreadConstraints=[constraint(1)]) for i in range(4)]
    decisions = run(snapshot, pods)
    assert sorted(d.node for d in decisions) == ["", "a", "a", "b"]
    assert decisions[3].message.startswith(
        "0/3 nodes are available: 1 Too many pods, 1 node(s) didn't match pod topology spread constraints, "
        "1 node(s) didn't match pod topology spread constraints (missing required label). preemption: "
    )


def test_too_few_domains_allow_no_more_than_the_skew() -> None:
    snapshot = cluster(node("a", labels={"zone": "a"}))
    wanted = [constraint(1, minDomains=2)]
    decisions = run(snapshot, [pod(f"p{i}", labels=WEB, topologySpreadConstraints=wanted) for i in range(2)])
    assert [d.node for d in decisions] == ["a", ""]


def test_soft_spread_prefers_and_never_forbids() -> None:
    snapshot = cluster(node("a", labels={"zone": "a"}), node("b", labels={"zone": "b"}, max_pods=2))
    wanted = [constraint(1, "ScheduleAnyway")]
    decisions = run(snapshot, [pod(f"p{i}", labels=WEB, topologySpreadConstraints=wanted) for i in range(6)])
    assert spread(decisions) == [2, 4]
    assert {d.node for d in decisions[:2]} == {"a", "b"}


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
