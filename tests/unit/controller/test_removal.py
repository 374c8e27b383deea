"""What removes things: the owner graph, pod garbage, namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from api import meta
from api.builtin import PODS, REPLICA_SETS
from api.meta import Obj
from controller import namespace_plan, pod_gc_plan
from controller.namespace_plan import Remains
from controller.owner_graph import Graph, node_of

from .make import NOW, ago, node, pod, replica_set


def names(pods: list[Obj]) -> list[str]:
    return [meta.name(p) for p in pods]


class TestGraph:
    def test_dependents_are_known_before_and_after_their_owner(self) -> None:
        graph = Graph()
        graph.put(node_of(PODS, pod("a", owner="rs")))
        assert [d.name for d in graph.dependents("uid-rs")] == ["a"]
        graph.put(node_of(REPLICA_SETS, replica_set("rs", 1)))
        graph.remove("uid-rs")
        assert [d.name for d in graph.dependents("uid-rs")] == ["a"]

    def test_a_reference_that_goes_takes_its_edge_along(self) -> None:
        graph = Graph()
        graph.put(node_of(PODS, pod("a", owner="rs")))
        graph.put(node_of(PODS, pod("a")))
        assert graph.dependents("uid-rs") == [] and len(graph) == 1

    def test_only_blocking_references_block(self) -> None:
        graph = Graph()
        waits = pod("a", owner="rs")
        waits["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = True
        graph.put(node_of(PODS, waits))
        graph.put(node_of(PODS, pod("b", owner="rs")))
        assert [d.name for d in graph.blocking("uid-rs")] == ["a"]

    def test_foreground_needs_both_the_finalizer_and_the_deletion(self) -> None:
        obj = replica_set("rs", 1)
        obj["metadata"]["finalizers"] = ["foregroundDeletion"]
        assert not node_of(REPLICA_SETS, obj).waits_for_dependents
        obj["metadata"]["deletionTimestamp"] = ago(1)
        assert node_of(REPLICA_SETS, obj).waits_for_dependents


class TestPodGarbage:
    def test_the_oldest_finished_pods_go_when_there_are_too_many(self) -> None:
        pods = [pod(f"p{i}", phase="Succeeded", created=i) for i in range(5)] + [pod("runs", created=99)]
        assert names(pod_gc_plan.surplus_terminated(pods, 3)) == ["p4", "p3"]

    def test_a_leaving_pod_without_a_node_has_no_kubelet_to_wait_for(self) -> None:
        pods = [pod("a", node="", deleting=True), pod("b", node=""), pod("c", deleting=True)]
        assert names(pod_gc_plan.unscheduled_terminating(pods)) == ["a"]

    @pytest.mark.parametrize(
        ("ready", "key", "expected"),
        [("False", "node.kubernetes.io/out-of-service", ["a"]), ("True", "node.kubernetes.io/out-of-service", []),
         ("False", "another", [])],
        ids=["out of service", "declared so but ready", "merely not ready"],
    )  # fmt: skip
    def test_a_node_out_of_service(self, ready: str, key: str, expected: list[str]) -> None:
        nodes = {"n1": node("n1", ready, taints=[{"key": key, "effect": "NoExecute"}])}
        pods = [pod("a", deleting=True), pod("b")]
        assert names(pod_gc_plan.out_of_service_terminating(pods, nodes)) == expected

    def test_a_missing_node_is_given_time_to_come_back(self) -> None:
        quarantine, pods = pod_gc_plan.Quarantine(), [pod("a", node="gone"), pod("b", node="n1"), pod("c", node="")]
        assert quarantine.gone(pods, ["n1"], 0.0) == set()
        assert quarantine.gone(pods, ["n1"], 39.0) == set()
        assert quarantine.gone(pods, ["n1"], 40.0) == {"gone"}
        assert quarantine.gone(pods, ["n1", "gone"], 50.0) == set()
        assert quarantine.gone(pods, ["n1"], 60.0) == set()


class TestNamespace:
    namespace: Obj = {"metadata": {"name": "shop"}, "status": {"phase": "Terminating"}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("pods", "expected"),
        [
            ([], 0.0), ([pod("a", phase="Succeeded")], 0.0),
            ([pod("a", spec={"terminationGracePeriodSeconds": 12})], 12.0), ([pod("a", deleting=True)], 1.0),
        ],
        ids=["empty", "ended", "not asked to go yet", "overdue"],
    )  # fmt: skip
    def test_how_long_pods_may_take(self, pods: list[Obj], expected: float) -> None:
        assert namespace_plan.grace_of(pods, NOW) == expected

    def test_an_empty_namespace_has_nothing_in_the_way(self) -> None:
        conditions = namespace_plan.conditions(self.namespace, Remains(), NOW)
        assert len(conditions) == 5 and all(c["status"] == "False" for c in conditions)

    def test_what_is_in_the_way_is_named(self) -> None:
        remains = Remains(errors=["secrets: no"])
        held: list[Any] = [pod("a"), pod("b")]
        held[0]["metadata"]["finalizers"] = ["example.com/hold"]
        remains.add("pods.", held)
        remains.add("services", [])
        assert not remains.is_empty
        shown = {
            c["type"]: (c["reason"], c["message"]) for c in namespace_plan.conditions(self.namespace, remains, NOW)
        }
        assert shown["NamespaceContentRemaining"] == (
            "SomeResourcesRemain", "Some resources are remaining: pods. has 2 resource instances",
        )  # fmt: skip
        assert shown["NamespaceFinalizersRemaining"] == (
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
        )
        assert shown["NamespaceDeletionContentFailure"][0] == "ContentDeletionFailed"
