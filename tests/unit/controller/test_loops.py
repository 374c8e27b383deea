"""The shells of the loops, against an apiserver in memory and a clock that only the test moves."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from api import meta
from api.builtin import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from api.errors import Forbidden
from api.meta import Obj
from api.registry import Resource
from client.clock import FakeClock
from controller.deployment import DeploymentLoop
from controller.endpoints import EndpointsLoop
from controller.endpointslice import EndpointSliceLoop
from controller.endpointslice_mirror import EndpointSliceMirrorLoop
from controller.garbage_collector import GarbageCollectorLoop
from controller.namespace import NamespaceLoop
from controller.node_ipam import NodeIpamLoop
from controller.node_lifecycle import NodeLifecycleLoop
from controller.pod_gc import PodGcLoop
from controller.replicaset import ReplicaSetLoop
from controller.service_account import RootCaLoop, ServiceAccountLoop
from controller.taint_eviction import TaintEvictionLoop

from .fake_api import FakeApi, Running, calm
from .make import deployment, node, pod, replica_set, service


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock: FakeClock) -> FakeApi:
    return FakeApi(clock)


def reasons(api: FakeApi) -> list[str]:
    return [event["reason"] for event in api.all(EVENTS)]


def fresh_set(size: int) -> Obj:
    rs = replica_set("web-abc", size)
    rs["status"] = {"replicas": 0}
    return rs


def make_ready(api: FakeApi, clock: FakeClock) -> None:
    stamp = meta.rfc3339(clock.now())
    for each in api.all(PODS):
        if not meta.is_condition_true(each, "Ready"):
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": stamp}
            api.put(PODS, {**each, "status": {"phase": "Running", "conditions": [ready]}})


class TestReplicaSet:
    async def test_makes_what_is_missing_and_reports(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(REPLICA_SETS, fresh_set(3))
        async with Running(api, clock, ReplicaSetLoop):
            assert len(api.all(PODS)) == 3
            make_ready(api, clock)
            await calm()
        rs = api.one(REPLICA_SETS, "web-abc")
        assert rs is not None
        assert (rs["status"]["replicas"], rs["status"]["readyReplicas"]) == (3, 3)
        assert reasons(api) == ["SuccessfulCreate"] * 3

    async def test_a_stale_cache_makes_no_doubles(self, api: FakeApi, clock: FakeClock) -> None:
        rs = api.put(REPLICA_SETS, fresh_set(3))
        async with Running(api, clock, ReplicaSetLoop):
            api.hold(PODS)
            api.put(REPLICA_SETS, {**rs, "spec": {**rs["spec"], "replicas": 5}})
            await calm()
            for note in ("a", "b"):  # whatever else touches it meanwhile
                now = api.one(REPLICA_SETS, "web-abc")
                assert now is not None
                api.put(REPLICA_SETS, {**now, "metadata": {**now["metadata"], "annotations": {"n": note}}})
                await calm()
            assert len(api.all(PODS)) == 5
            api.release(PODS)
            await calm()
            assert len(api.all(PODS)) == 5

    async def test_a_refused_template_is_not_tried_a_hundred_times(self, api: FakeApi, clock: FakeClock) -> None:
        tries = []

        def refuse(verb: str, resource: Any) -> Exception | None:
            if (verb, resource) != ("create", PODS):
                return None
            tries.append(verb)
            return Forbidden("exceeded quota")

        api.refuse = refuse
        api.put(REPLICA_SETS, fresh_set(100))
        async with Running(api, clock, ReplicaSetLoop):
            assert len(tries) <= 2  # the second because the status changed
            rs = api.one(REPLICA_SETS, "web-abc")
        failure = meta.get_condition(rs or {}, "ReplicaFailure")
        assert failure is not None and (failure["reason"], failure["message"]) == ("FailedCreate", "exceeded quota")
        assert api.all(EVENTS)[0]["message"] == "Error creating: exceeded quota"

    async def test_adopts_a_matching_orphan_and_releases_what_no_longer_matches(
        self, api: FakeApi, clock: FakeClock
    ) -> None:
        rs = api.put(REPLICA_SETS, fresh_set(2))
        labels = rs["spec"]["selector"]["matchLabels"]
        api.put(PODS, pod("orphan", labels=labels))
        api.put(PODS, pod("strange", labels={"app": "other"}, owner="web-abc"))
        async with Running(api, clock, ReplicaSetLoop):
            pass
        owners = {meta.name(p): (meta.controller_of(p) or {}).get("uid") for p in api.all(PODS)}
        assert owners.pop("orphan") == "uid-web-abc"
        assert owners.pop("strange") is None
        assert list(owners.values()) == ["uid-web-abc"]

    async def test_removes_the_surplus(self, api: FakeApi, clock: FakeClock) -> None:
        rs = api.put(REPLICA_SETS, fresh_set(1))
        labels = rs["spec"]["selector"]["matchLabels"]
        for name, ready in (("a", None), ("b", 500), ("c", None)):
            api.put(PODS, pod(name, labels=labels, owner="web-abc", ready=ready))
        async with Running(api, clock, ReplicaSetLoop):
            pass
        assert [meta.name(p) for p in api.all(PODS) if not meta.is_deleting(p)] == ["b"]

    async def test_becomes_available_by_time_alone(self, api: FakeApi, clock: FakeClock) -> None:
        rs = fresh_set(1)
        rs["spec"]["minReadySeconds"] = 10
        api.put(REPLICA_SETS, rs)
        async with Running(api, clock, ReplicaSetLoop):
            make_ready(api, clock)
            await calm()
            assert "availableReplicas" not in (api.one(REPLICA_SETS, "web-abc") or {})["status"]
            await clock.run_for(11)
            assert (api.one(REPLICA_SETS, "web-abc") or {})["status"]["availableReplicas"] == 1


class TestDeployment:
    async def test_a_rollout_from_beginning_to_end_and_back(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(DEPLOYMENTS, deployment(3))
        async with Running(api, clock, DeploymentLoop, ReplicaSetLoop):
            await self.rolled_out(api, clock)
            first = {meta.name(rs) for rs in api.all(REPLICA_SETS)}
            await self.change(api, image="app:2")
            await self.rolled_out(api, clock)
            sizes = {meta.name(rs): rs["spec"]["replicas"] for rs in api.all(REPLICA_SETS)}
            assert sorted(sizes.values()) == [0, 3] and sizes[next(iter(first))] == 0
            await self.change(api, image="app:1")
            await self.rolled_out(api, clock)
            sizes = {meta.name(rs): rs["spec"]["replicas"] for rs in api.all(REPLICA_SETS)}
            assert len(sizes) == 2 and sizes[next(iter(first))] == 3
        web = api.one(DEPLOYMENTS, "web") or {}
        assert meta.annotations(web)["deployment.kubernetes.io/revision"] == "3"
        assert "Scaled down replica set" in "".join(e["message"] for e in api.all(EVENTS))

    async def test_a_taken_name_makes_it_choose_another(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(DEPLOYMENTS, deployment(1))
        async with Running(api, clock, DeploymentLoop):
            name = meta.name(api.all(REPLICA_SETS)[0])
        another, later = FakeApi(clock), replica_set(name, 1)
        later["spec"]["selector"]["matchLabels"] = later["spec"]["template"]["metadata"]["labels"] = {"app": "x"}
        later["metadata"]["labels"] = {"app": "x"}
        another.put(REPLICA_SETS, later)
        another.put(DEPLOYMENTS, deployment(1))
        async with Running(another, clock, DeploymentLoop):
            await clock.run_for(1)
        names = {meta.name(rs) for rs in another.all(REPLICA_SETS)}
        assert len(names) == 2 and name in names
        assert (another.one(DEPLOYMENTS, "web") or {})["status"]["collisionCount"] == 1

    async def change(self, api: FakeApi, image: str) -> None:
        web = copy.deepcopy(api.one(DEPLOYMENTS, "web") or {})
        web["spec"]["template"]["spec"]["containers"][0]["image"] = image
        web["metadata"]["generation"] += 1
        api.put(DEPLOYMENTS, web)
        await calm()

    async def rolled_out(self, api: FakeApi, clock: FakeClock) -> None:
        for _ in range(12):
            make_ready(api, clock)
            await clock.run_for(1)
            assert sum(not meta.is_deleting(p) for p in api.all(PODS)) <= 4
        progressing = meta.get_condition(api.one(DEPLOYMENTS, "web") or {}, "Progressing") or {}
        assert progressing["reason"] == "NewReplicaSetAvailable"


class TestEndpoints:
    async def test_follow_the_pods(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(SERVICES, service())
        api.put(PODS, pod("a", labels={"app": "web"}, ip="10.0.0.2", ready=True))
        async with Running(api, clock, EndpointsLoop, EndpointSliceLoop):
            assert (api.one(ENDPOINTS, "web") or {})["subsets"][0]["addresses"][0]["ip"] == "10.0.0.2"
            api.put(PODS, pod("a", labels={"app": "web"}, ip="10.0.0.2"))
            await calm()
            assert "addresses" not in (api.one(ENDPOINTS, "web") or {})["subsets"][0]
            (slice_,) = api.all(ENDPOINT_SLICES)
            assert slice_["endpoints"][0]["conditions"]["ready"] is False

    async def test_a_stale_cache_makes_no_second_slice(self, api: FakeApi, clock: FakeClock) -> None:
        async with Running(api, clock, EndpointSliceLoop):
            api.hold(ENDPOINT_SLICES)
            api.put(SERVICES, service())
            await calm()
            api.put(PODS, pod("a", labels={"app": "web"}, ip="10.0.0.2", ready=True))
            await calm()
            assert len(api.all(ENDPOINT_SLICES)) == 1
            api.release(ENDPOINT_SLICES)
            await clock.run_for(2)
            (slice_,) = api.all(ENDPOINT_SLICES)
            assert len(slice_["endpoints"]) == 1

    async def test_those_of_a_service_without_selector_stay_untouched(self, api: FakeApi, clock: FakeClock) -> None:
        mine = {"metadata": {"name": "web", "namespace": "default", "uid": "e"}, "subsets": [{"addresses": []}]}
        api.put(SERVICES, service({}))
        api.put(ENDPOINTS, mine)
        async with Running(api, clock, EndpointsLoop, EndpointSliceLoop):
            pass
        assert api.calls == []

    async def test_hand_written_ones_are_mirrored_and_follow(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(SERVICES, service({}))
        subset = {"addresses": [{"ip": "192.0.2.7"}], "notReadyAddresses": [{"ip": "192.0.2.8"}],
                  "ports": [{"port": 5432}]}  # fmt: skip
        mine = {"metadata": {"name": "web", "namespace": "default", "uid": "e"}, "subsets": [subset]}
        api.put(ENDPOINTS, mine)
        async with Running(api, clock, EndpointsLoop, EndpointSliceLoop, EndpointSliceMirrorLoop):
            (slice_,) = api.all(ENDPOINT_SLICES)
            shown = [(e["addresses"], e["conditions"]["ready"]) for e in slice_["endpoints"]]
            assert shown == [(["192.0.2.7"], True), (["192.0.2.8"], False)]
            assert slice_["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
            api.put(SERVICES, service())  # now it selects pods: the slices are another loop's
            await clock.run_for(2)
            managers = {meta.labels(s)["endpointslice.kubernetes.io/managed-by"] for s in api.all(ENDPOINT_SLICES)}
            assert managers == {"endpointslice-controller.k8s.io"}

    async def test_go_with_their_service(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(SERVICES, service())
        async with Running(api, clock, EndpointsLoop):
            await api.delete(SERVICES, "web", "default")
            await calm()
        assert api.all(ENDPOINTS) == []


def heartbeat(name: str, at: str) -> Obj:
    return {"metadata": {"name": name, "namespace": "kube-node-lease", "uid": f"l-{name}"}, "spec": {"renewTime": at}}


class TestNodeLifecycle:
    async def test_a_silent_node_is_lost_and_found(self, api: FakeApi, clock: FakeClock) -> None:
        for name in ("n1", "n2"):
            api.put(NODES, node(name))
        lost = pod("a", node="n1", ready=True, spec={"containers": [{"name": "c"}]})
        lost["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
        lost["status"]["conditions"].append({"type": "ContainersReady", "status": "True"})
        api.put(PODS, lost)
        async with Running(api, clock, NodeLifecycleLoop):
            for second in range(60):
                api.put(LEASES, heartbeat("n2", f"t{second}"))
                await clock.run_for(1)
            silent = api.one(NODES, "n1") or {}
            assert (meta.get_condition(silent, "Ready") or {})["reason"] == "NodeStatusUnknown"
            taints = {(t["key"], t["effect"]) for t in silent["spec"]["taints"]}
            assert taints == {("node.kubernetes.io/unreachable", e) for e in ("NoSchedule", "NoExecute")}
            assert meta.is_condition_true(api.one(NODES, "n2") or {}, "Ready")
            status = (api.one(PODS, "a") or {})["status"]
            assert (status["phase"], status["reason"], status["conditions"][0]["status"]) == (
                "Unknown", "NodeLost", "False",
            )  # fmt: skip
            api.put(NODES, {**silent, "status": node("n1", heartbeat=0)["status"]})
            await clock.run_for(12)
            assert (api.one(NODES, "n1") or {})["spec"].get("taints") is None
            found = api.one(PODS, "a") or {}
            assert found["status"]["phase"] == "Running" and meta.is_condition_true(found, "Ready")
        assert {"RegisteredNode", "NodeNotReady"} <= set(reasons(api))

    async def test_when_every_node_is_silent_none_is_given_up(self, api: FakeApi, clock: FakeClock) -> None:
        for name in ("n1", "n2"):
            api.put(NODES, node(name))
        async with Running(api, clock, NodeLifecycleLoop):
            await clock.run_for(120)
        for each in api.all(NODES):
            assert [t["effect"] for t in each["spec"]["taints"]] == ["NoSchedule"]

    async def test_a_cordon_shows_at_once(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(NODES, node("n1"))
        async with Running(api, clock, NodeLifecycleLoop):
            api.put(NODES, node("n1", unschedulable=True))
            await calm()
            (taint,) = (api.one(NODES, "n1") or {})["spec"]["taints"]
        assert taint["key"] == "node.kubernetes.io/unschedulable"


class TestTaintEviction:
    TAINT: Obj = {"key": "gone", "effect": "NoExecute"}  # noqa: RUF012

    async def test_pods_go_when_their_toleration_ends(self, api: FakeApi, clock: FakeClock) -> None:
        for name, seconds in (("now", None), ("soon", 10), ("never", -1)):
            tolerations = [{"key": "gone", "operator": "Exists", "tolerationSeconds": seconds}]
            if seconds is None or seconds < 0:
                tolerations = [] if seconds is None else [{"key": "gone", "operator": "Exists"}]
            api.put(PODS, pod(name, node="n1", spec={"tolerations": tolerations}))
        stamp = meta.rfc3339(clock.now())
        api.put(NODES, node("n1", taints=[{**self.TAINT, "timeAdded": stamp}]))

        def leaving() -> set[str]:
            return {meta.name(p) for p in api.all(PODS) if meta.is_deleting(p)}

        async with Running(api, clock, TaintEvictionLoop):
            assert leaving() == {"now"}
            await clock.run_for(11)
            assert leaving() == {"now", "soon"}
        assert meta.is_condition_true(api.one(PODS, "now") or {}, "DisruptionTarget")

    async def test_a_taint_that_goes_saves_the_pod(self, api: FakeApi, clock: FakeClock) -> None:
        tolerations = [{"key": "gone", "operator": "Exists", "tolerationSeconds": 10}]
        api.put(PODS, pod("a", node="n1", spec={"tolerations": tolerations}))
        api.put(NODES, node("n1", taints=[{**self.TAINT, "timeAdded": meta.rfc3339(clock.now())}]))
        async with Running(api, clock, TaintEvictionLoop):
            await clock.run_for(5)
            api.put(NODES, node("n1"))
            await clock.run_for(20)
        assert not meta.is_deleting(api.one(PODS, "a") or {})
        assert api.all(EVENTS)[0]["message"] == "Cancelling deletion of Pod default/a"


class TestPodGc:
    async def test_pods_of_a_node_that_is_gone(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(NODES, node("n1"))
        api.put(PODS, pod("a", node="n1"))
        api.put(PODS, pod("b", node="gone"))
        async with Running(api, clock, PodGcLoop):
            await clock.run_for(30)
            assert len(api.all(PODS)) == 2
            await clock.run_for(30)
        assert [meta.name(p) for p in api.all(PODS)] == ["a"]


BOATS = Resource("example.com", "v1", "Boat", "boats", "boat", True)


def owned(name: str, *owners: Obj, **metadata: Any) -> Obj:
    references = [
        {"apiVersion": o["apiVersion"], "kind": o["kind"], "name": meta.name(o), "uid": meta.uid(o),
         "blockOwnerDeletion": True}
        for o in owners
    ]  # fmt: skip
    return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "ownerReferences": references,
                         **metadata}}  # fmt: skip


class TestGarbageCollector:
    async def test_what_all_owners_left_goes_and_what_one_still_owns_stays(
        self, api: FakeApi, clock: FakeClock
    ) -> None:
        one = api.put(CONFIG_MAPS, owned("one"))
        two = api.put(CONFIG_MAPS, owned("two"))
        api.put(CONFIG_MAPS, owned("of-one", one))
        api.put(CONFIG_MAPS, owned("of-both", one, two))
        async with Running(api, clock, GarbageCollectorLoop):
            await api.delete(CONFIG_MAPS, "one", "default")
            await calm()
        assert {meta.name(o) for o in api.all(CONFIG_MAPS)} == {"two", "of-both"}
        (left,) = meta.owner_references(api.one(CONFIG_MAPS, "of-both") or {})
        assert left["name"] == "two"

    async def test_a_namesake_is_not_the_owner(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(CONFIG_MAPS, owned("one"))
        api.put(CONFIG_MAPS, owned("child", {**owned("one", uid="earlier"), "apiVersion": "v1", "kind": "ConfigMap"}))
        async with Running(api, clock, GarbageCollectorLoop):
            pass
        assert {meta.name(o) for o in api.all(CONFIG_MAPS)} == {"one"}

    async def test_an_owner_that_only_the_server_knows_yet_is_an_owner(self, api: FakeApi, clock: FakeClock) -> None:
        async with Running(api, clock, GarbageCollectorLoop):
            api.hold(SERVICE_ACCOUNTS)
            owner = api.put(SERVICE_ACCOUNTS, owned("late"))
            api.put(CONFIG_MAPS, owned("child", owner))
            await clock.run_for(10)
            assert api.calls == []
            api.release(SERVICE_ACCOUNTS)
            await api.delete(SERVICE_ACCOUNTS, "late", "default")
            await clock.run_for(10)
        assert api.all(CONFIG_MAPS) == []

    async def test_an_owner_of_an_unknown_kind_protects(self, api: FakeApi, clock: FakeClock) -> None:
        stranger = {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "b", "uid": "b"}}
        api.put(CONFIG_MAPS, owned("child", stranger))
        async with Running(api, clock, GarbageCollectorLoop):
            await clock.run_for(10)
        assert api.calls == []

    async def test_custom_kinds_take_part_as_they_come_and_go(self, api: FakeApi, clock: FakeClock) -> None:
        """What an unknown kind owns is kept until the kind is served and the owner found to be missing."""
        boat = {**owned("b"), "apiVersion": "example.com/v1", "kind": "Boat"}
        api.put(CONFIG_MAPS, owned("of-boat", boat))
        owner = api.put(CONFIG_MAPS, owned("owner"))
        async with Running(api, clock, GarbageCollectorLoop) as running:
            await clock.run_for(10)
            assert api.calls == []
            api.custom = [BOATS]
            api.put(BOATS, owned("of-owner", owner))
            running.context.discovery.poke()
            await clock.run_for(2)
            assert [(verb, name) for verb, _, name in api.calls] == [("delete", "of-boat")]
            await api.delete(CONFIG_MAPS, "owner", "default")
            await clock.run_for(2)
            assert api.all(BOATS) == []
            api.put(BOATS, owned("another"))
            api.put(CONFIG_MAPS, owned("of-another", api.one(BOATS, "another") or {}))
            await clock.run_for(2)
            assert api.one(CONFIG_MAPS, "of-another") is not None
            api.custom = []
            running.context.discovery.poke()
            await clock.run_for(2)
            assert api.one(CONFIG_MAPS, "of-another") is not None

    async def test_an_owner_in_another_namespace_is_none_and_its_author_is_told(
        self, api: FakeApi, clock: FakeClock
    ) -> None:
        """https://kubernetes.io/docs/concepts/architecture/garbage-collection/#owners-dependents: the collector
        "reports a warning event with reason of OwnerRefInvalidNamespace"."""
        owner = api.put(CONFIG_MAPS, owned("owner", namespace="elsewhere"))
        async with Running(api, clock, GarbageCollectorLoop):
            api.put(CONFIG_MAPS, owned("child", owner))
            await clock.run_for(10)
        assert {meta.name(o) for o in api.all(CONFIG_MAPS)} == {"owner"}
        assert [(e["reason"], e["involvedObject"]["name"], e["message"]) for e in api.all(EVENTS)] == [
            ("OwnerRefInvalidNamespace", "child",
             'ownerRef [v1/ConfigMap, namespace: default, name: owner, uid: uid-owner] does not exist in namespace '
             '"default"'),
        ]  # fmt: skip

    async def test_owners_of_the_cluster(self, api: FakeApi, clock: FakeClock) -> None:
        """A cluster-scoped owner owns across namespaces; an object of the cluster cannot have one of a namespace."""
        holder = api.put(NODES, node("n1"))
        api.put(CONFIG_MAPS, owned("of-node", holder))
        stranger = api.put(CONFIG_MAPS, owned("stranger"))
        api.put(NODES, owned("n2", stranger, namespace=""))
        async with Running(api, clock, GarbageCollectorLoop):
            await clock.run_for(10)
            assert [plural for _, plural, _ in api.calls if plural != "events"] == []
            await api.delete(NODES, "n1")
            await clock.run_for(2)
        assert [meta.name(o) for o in api.all(CONFIG_MAPS)] == ["stranger"]
        assert [meta.name(o) for o in api.all(NODES)] == ["n2"]

    async def test_foreground_waits_for_the_whole_tree(self, api: FakeApi, clock: FakeClock) -> None:
        root = api.put(CONFIG_MAPS, owned("root"))
        middle = api.put(CONFIG_MAPS, owned("middle", root))
        api.put(CONFIG_MAPS, owned("leaf", middle, finalizers=["example.com/hold"]))
        async with Running(api, clock, GarbageCollectorLoop):
            await api.delete(CONFIG_MAPS, "root", "default", propagation="Foreground")
            await clock.run_for(10)
            assert {meta.name(o) for o in api.all(CONFIG_MAPS)} == {"root", "middle", "leaf"}
            leaf = api.one(CONFIG_MAPS, "leaf") or {}
            assert meta.is_deleting(leaf)
            metadata = {k: v for k, v in leaf["metadata"].items() if k != "finalizers"}
            await api.update(CONFIG_MAPS, {**leaf, "metadata": metadata})
            await clock.run_for(10)
        assert api.all(CONFIG_MAPS) == []

    async def test_a_circle_does_not_wait_for_itself(self, api: FakeApi, clock: FakeClock) -> None:
        """Upstream's e2e: "should not be blocked by dependency circle"."""
        for name, owner in (("one", "three"), ("two", "one"), ("three", "two")):
            api.put(CONFIG_MAPS, owned(name, owned(owner) | {"apiVersion": "v1", "kind": "ConfigMap"}))
        async with Running(api, clock, GarbageCollectorLoop):
            await clock.run_for(5)
            assert api.calls == []
            await api.delete(CONFIG_MAPS, "one", "default", propagation="Foreground")
            await clock.run_for(30)
        assert api.all(CONFIG_MAPS) == []

    async def test_a_valid_owner_keeps_what_another_waits_for(self, api: FakeApi, clock: FakeClock) -> None:
        """Upstream's e2e: "should not delete dependents that have both valid owner and owner that's waiting for
        dependents to be deleted"."""
        going, staying = api.put(CONFIG_MAPS, owned("going")), api.put(CONFIG_MAPS, owned("staying"))
        api.put(CONFIG_MAPS, owned("shared", going, staying))
        api.put(CONFIG_MAPS, owned("only", going))
        async with Running(api, clock, GarbageCollectorLoop):
            await api.delete(CONFIG_MAPS, "going", "default", propagation="Foreground")
            await clock.run_for(30)
        assert {meta.name(o) for o in api.all(CONFIG_MAPS)} == {"staying", "shared"}
        assert [o["name"] for o in meta.owner_references(api.one(CONFIG_MAPS, "shared") or {})] == ["staying"]

    async def test_an_orphaner_lets_go_first(self, api: FakeApi, clock: FakeClock) -> None:
        root = api.put(CONFIG_MAPS, owned("root"))
        api.put(CONFIG_MAPS, owned("child", root))
        async with Running(api, clock, GarbageCollectorLoop):
            await api.delete(CONFIG_MAPS, "root", "default", propagation="Orphan")
            await clock.run_for(10)
        (child,) = api.all(CONFIG_MAPS)
        assert meta.name(child) == "child" and not meta.owner_references(child)


def space(name: str, deleting: bool = False) -> Obj:
    metadata: Obj = {"name": name, "uid": f"uid-{name}"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    phase = "Terminating" if deleting else "Active"
    return {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": phase}}


class TestNamespaces:
    async def test_pods_go_first_then_the_rest_then_the_namespace(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(NAMESPACES, space("default", deleting=True))
        api.put(PODS, pod("a"))
        api.put(CONFIG_MAPS, owned("cm"))
        async with Running(api, clock, NamespaceLoop):
            assert meta.is_deleting(api.one(PODS, "a") or {})
            assert api.one(CONFIG_MAPS, "cm") is not None
            remaining = meta.get_condition(api.one(NAMESPACES, "default") or {}, "NamespaceContentRemaining")
            assert (remaining or {})["status"] == "True"
            await api.delete(PODS, "a", "default", grace_period=0)
            await clock.run_for(1)
        assert api.all(CONFIG_MAPS) == [] and api.all(NAMESPACES) == []

    async def test_custom_objects_go_too(self, api: FakeApi, clock: FakeClock) -> None:
        """Of a kind that came when all was running, and can only be deleted one by one."""
        api.put(NAMESPACES, space("default"))
        async with Running(api, clock, NamespaceLoop):
            api.custom = [replace(BOATS, verbs=("get", "list", "delete"))]
            api.put(BOATS, owned("a"))
            api.put(NAMESPACES, space("default", deleting=True))
            await clock.run_for(1)
        assert api.all(BOATS) == [] and api.all(NAMESPACES) == []

    async def test_what_cannot_be_asked_holds_the_namespace(self, api: FakeApi, clock: FakeClock) -> None:
        """k8s.io/kubernetes/pkg/controller/namespace/deletion: a group whose server is away may have objects here."""
        api.put(NAMESPACES, space("default", deleting=True))
        api.stale = ["metrics.k8s.io/v1beta1"]
        async with Running(api, clock, NamespaceLoop):
            await clock.run_for(1)
            failure = meta.get_condition(api.one(NAMESPACES, "default") or {}, "NamespaceDeletionDiscoveryFailure")
            assert failure is not None and (failure["status"], failure["reason"]) == ("True", "DiscoveryFailed")
            assert failure["message"] == (
                "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: "
                "metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1"
            )
            api.stale = []
            await clock.run_for(5)
        assert api.all(NAMESPACES) == []

    async def test_every_active_namespace_has_its_account_and_certificate(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(NAMESPACES, space("a"))
        api.put(NAMESPACES, space("b", deleting=True))
        async with Running(api, clock, ServiceAccountLoop, RootCaLoop, root_ca="PEM"):
            assert [meta.key(o) for o in api.all(SERVICE_ACCOUNTS)] == ["a/default"]
            assert [(meta.key(o), o["data"]) for o in api.all(CONFIG_MAPS)] == [
                ("a/kube-root-ca.crt", {"ca.crt": "PEM"})
            ]
            await api.delete(SERVICE_ACCOUNTS, "default", "a")
            await calm()
            assert [meta.key(o) for o in api.all(SERVICE_ACCOUNTS)] == ["a/default"]


class TestNodeIpam:
    async def test_what_is_held_is_never_given_to_another(self, api: FakeApi, clock: FakeClock) -> None:
        holder = node("old")
        holder["spec"]["podCIDR"] = "10.244.0.0/24"
        api.put(NODES, holder)
        api.put(NODES, node("a"))
        api.put(NODES, node("b"))
        async with Running(api, clock, NodeIpamLoop):
            pass
        cidrs = [n["spec"]["podCIDR"] for n in api.all(NODES)]
        assert len(set(cidrs)) == 3 and "10.244.0.0/24" in cidrs

    async def test_when_nothing_is_left_it_says_so_and_waits(self, api: FakeApi, clock: FakeClock) -> None:
        api.put(NODES, node("a"))
        options = {"cluster_cidr": "10.244.0.0/24", "node_cidr_mask_size": 24}
        async with Running(api, clock, NodeIpamLoop, **options):
            api.put(NODES, node("b"))
            await calm()
            assert reasons(api) == ["CIDRNotAvailable"]
            await api.delete(NODES, "a")
            await calm()
            assert (api.one(NODES, "b") or {})["spec"]["podCIDR"] == "10.244.0.0/24"
