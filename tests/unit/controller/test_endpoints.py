from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import meta
from api.meta import Obj
from controller import backends, endpoints_plan, endpointslice_plan, slice_packing

from .make import pod, service

LABELS = {"app": "web"}
NAMED = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]


def backend(name: str, last: int, **options: Any) -> Obj:
    return pod(name, **{"labels": LABELS, "ip": f"10.0.{last // 250}.{last % 250 + 1}", "ready": True, **options})


def with_ports(*ports: tuple[str, int]) -> Obj:
    return {"containers": [{"name": "c", "ports": [{"name": n, "containerPort": p} for n, p in ports]}]}


@pytest.mark.parametrize(
    ("entry", "spec", "expected"),
    [
        pytest.param({"port": 80}, {}, 80, id="the port itself"),
        pytest.param({"port": 80, "targetPort": 8080}, {}, 8080, id="a number"),
        pytest.param({"port": 80, "targetPort": "web"}, with_ports(("web", 9000)), 9000, id="a name"),
        pytest.param({"port": 80, "targetPort": "db"}, with_ports(("web", 9000)), None, id="a name nobody has"),
        pytest.param(
            {"port": 53, "targetPort": "web", "protocol": "UDP"}, with_ports(("web", 9000)), None, id="another protocol"
        ),
        pytest.param(
            {"port": 80, "targetPort": "web"},
            {"initContainers": [{"name": "i", "restartPolicy": "Always",
                                 "ports": [{"name": "web", "containerPort": 7}]}]},
            7, id="a sidecar's name",
        ),
    ],
)  # fmt: skip
def test_target_ports(entry: Obj, spec: Obj, expected: int | None) -> None:
    found = backends.ports(service(ports=[entry]), pod("a", spec=spec))
    assert [p.port for p in found] == ([] if expected is None else [expected])


CASES = [
    # options of the pod, publishNotReadyAddresses, (ready, serving, terminating) of its slice, field of its Endpoints
    pytest.param({}, False, (True, True, False), "addresses", id="ready"),
    pytest.param({"ready": None}, False, (False, False, False), "notReadyAddresses", id="not ready"),
    pytest.param({"deleting": True}, False, (False, True, True), None, id="terminating but serving"),
    pytest.param({"ready": None}, True, (True, False, False), "addresses", id="not ready, published anyway"),
    pytest.param({"deleting": True}, True, (True, True, True), "addresses", id="terminating, published anyway"),
    pytest.param({"phase": "Failed"}, True, None, None, id="ended"),
    pytest.param({"ip": ""}, False, None, None, id="no address yet"),
    pytest.param({"labels": {"app": "x"}}, False, None, None, id="not selected"),
]


@pytest.mark.parametrize(("options", "publish", "conditions", "field"), CASES)
def test_where_a_pod_is_listed(
    options: dict[str, Any], publish: bool, conditions: tuple[bool, bool, bool] | None, field: str | None
) -> None:
    svc = service(publishNotReadyAddresses=publish)
    pods = [backend("a", 1, **options)]
    (slice_,) = endpointslice_plan.plan(svc, pods, {"n1": "z1"}, []).create
    if conditions is None:
        assert slice_["endpoints"] == [] and slice_["ports"] == []
    else:
        names = ("ready", "serving", "terminating")
        assert slice_["endpoints"] == [{
            "addresses": ["10.0.0.2"], "conditions": dict(zip(names, conditions, strict=True)), "nodeName": "n1",
            "zone": "z1",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"},
        }]  # fmt: skip
        assert slice_["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    subsets = endpoints_plan.build(svc, pods).get("subsets") or []
    assert [key for subset in subsets for key in subset if key != "ports"] == ([field] if field else [])


def test_a_slice_is_marked_and_owned() -> None:
    (slice_,) = endpointslice_plan.plan(service(clusterIP="None"), [], {}, []).create
    assert slice_["metadata"]["generateName"] == "web-"
    assert meta.labels(slice_) == {
        "team": "a", "service.kubernetes.io/headless": "", "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }  # fmt: skip
    assert slice_["metadata"]["ownerReferences"] == [meta.controller_reference(service(), "v1", "Service")]


def test_pods_with_other_ports_get_another_slice_and_another_subset() -> None:
    svc = service(ports=NAMED)
    pods = [backend("a", 1, spec=with_ports(("web", 1000))), backend("b", 2, spec=with_ports(("web", 2000)))]
    slices = endpointslice_plan.plan(svc, pods, {}, []).create
    assert sorted((s["ports"][0]["port"], len(s["endpoints"])) for s in slices) == [(1000, 1), (2000, 1)]
    subsets = endpoints_plan.build(svc, pods)["subsets"]
    assert [(s["ports"][0]["port"], s["addresses"][0]["ip"]) for s in subsets] == [
        (1000, "10.0.0.2"), (2000, "10.0.0.3"),
    ]  # fmt: skip


def test_a_hostname_is_published_under_its_own_subdomain_only() -> None:
    mine = backend("a", 1, spec={"hostname": "h", "subdomain": "web"})
    other = backend("b", 2, spec={"hostname": "h", "subdomain": "db"})
    (slice_,) = endpointslice_plan.plan(service(), [mine, other], {}, []).create
    assert [e.get("hostname") for e in slice_["endpoints"]] == ["h", None]


def test_too_many_addresses_are_cut_and_marked() -> None:
    pods = [backend(f"p{i}", i, ready=None if i < 10 else True) for i in range(1005)]
    built = endpoints_plan.build(service(), pods)
    (subset,) = built["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (995, 5)
    assert meta.annotations(built) == {"endpoints.kubernetes.io/over-capacity": "truncated"}


def stored(slices: list[Obj], counter: list[int]) -> list[Obj]:
    result = []
    for slice_ in slices:
        counter[0] += 1
        name = slice_["metadata"].get("name") or f"web-{counter[0]:05}"
        metadata = {**slice_["metadata"], "name": name, "uid": name, "resourceVersion": "1"}
        result.append({**slice_, "metadata": metadata})
    return result


def applied(existing: list[Obj], plan: slice_packing.Plan, counter: list[int]) -> list[Obj]:
    gone = {meta.name(s) for s in [*plan.delete, *plan.update]}
    kept = [s for s in existing if meta.name(s) not in gone]
    return kept + stored(plan.update, counter) + stored(plan.create, counter)


@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.sets(st.integers(0, 12), max_size=12), min_size=1, max_size=4))
def test_slices_always_end_up_listing_exactly_the_pods(rounds: list[set[int]]) -> None:
    """With room for three in a slice, so that few pods make many."""
    existing: list[Obj] = []
    counter = [0]
    limit = 3
    pool = {n: backend(f"p{n}", n) for n in set().union(*rounds)}
    for numbers in rounds:
        pods = [pool[n] for n in sorted(numbers)]
        plan = endpointslice_plan.plan(service(), pods, {}, existing, limit)
        existing = applied(existing, plan, counter)
        listed = [e["targetRef"]["name"] for s in existing for e in s["endpoints"]]
        assert sorted(listed) == sorted(meta.name(p) for p in pods)
        assert all(len(s["endpoints"]) <= limit for s in existing)
        assert existing
        again = endpointslice_plan.plan(service(), pods, {}, existing, limit)
        assert (again.create, again.update, again.delete) == ([], [], [])


def test_one_changed_pod_rewrites_one_slice() -> None:
    counter = [0]
    pods = [backend(f"p{i:03}", i) for i in range(250)]
    existing = applied([], endpointslice_plan.plan(service(), pods, {}, []), counter)
    assert len(existing) == 3
    pods[0] = backend("p000", 0, ready=None)
    plan = endpointslice_plan.plan(service(), pods, {}, existing)
    assert (len(plan.create), len(plan.update), len(plan.delete)) == (0, 1, 0)


def test_the_last_slice_is_kept_empty() -> None:
    counter = [0]
    existing = applied([], endpointslice_plan.plan(service(), [backend("a", 1)], {}, []), counter)
    plan = endpointslice_plan.plan(service(), [], {}, existing)
    assert (plan.create, plan.delete) == ([], [])
    assert plan.update[0]["endpoints"] == [] and meta.name(plan.update[0]) == meta.name(existing[0])


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, False), ({"ready": None}, True), ({"ip": "10.9.9.9"}, True), ({"deleting": True}, True),
     ({"restarts": 3}, False)],
    ids=["nothing", "readiness", "address", "leaving", "a restart alone"],
)  # fmt: skip
def test_which_pod_changes_matter(change: dict[str, Any], expected: bool) -> None:
    assert backends.matters(backend("a", 1), backend("a", 1, **change)) is expected
