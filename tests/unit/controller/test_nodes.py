from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import meta
from api.meta import Obj
from controller import eviction_rate, node_health, node_taints
from controller.cidr_set import CidrSet, Exhausted
from controller.eviction_rate import Bucket, Zone

from .make import NOW, ago, node, pod

NOT_READY, UNREACHABLE = node_taints.NOT_READY, node_taints.UNREACHABLE


def lease(renewed: str) -> Obj:
    return {"metadata": {"name": "n1"}, "spec": {"renewTime": renewed}}


class TestBeat:
    def test_the_first_look_counts_as_a_sign_of_life(self) -> None:
        assert node_health.observe(None, node(), None, 10.0).seen_at == 10.0

    @pytest.mark.parametrize(
        ("later", "renewed", "expected"),
        [({}, "a", 10.0), ({}, "b", 20.0), ({"heartbeat": 1}, "a", 20.0)],
        ids=["silence", "the lease is renewed", "the status is posted"],
    )
    def test_what_counts_as_a_sign_of_life(self, later: dict[str, Any], renewed: str, expected: float) -> None:
        first = node_health.observe(None, node(), lease("a"), 10.0)
        assert node_health.observe(first, node(**later), lease(renewed), 20.0).seen_at == expected

    def test_our_own_verdict_is_no_sign_of_life(self) -> None:
        silent = node(ready="")
        first = node_health.observe(None, silent, None, 10.0)
        conditions = node_health.silent_conditions(silent, NOW)
        judged = {**silent, "status": {"conditions": conditions}}
        assert node_health.observe(first, judged, None, 20.0).seen_at == 10.0

    def test_a_node_of_the_same_name_is_another_node(self) -> None:
        first = node_health.observe(None, node(), lease("a"), 10.0)
        again = node()
        again["metadata"]["uid"] = "another"
        assert node_health.observe(first, again, lease("a"), 20.0).seen_at == 20.0

    def test_silence_begins_after_the_grace_period(self) -> None:
        beat = node_health.observe(None, node(), None, 10.0)
        assert [node_health.is_silent(beat, at, 40.0) for at in (50.0, 50.1)] == [False, True]


class TestConditions:
    def test_a_silent_node_knows_nothing(self) -> None:
        conditions = node_health.silent_conditions(node(conditions={"MemoryPressure": "False"}), NOW)
        assert conditions is not None
        shown = {c["type"]: (c["status"], c["reason"], c["message"]) for c in conditions}
        stopped = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        never = ("Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.")
        assert shown == {"Ready": stopped, "MemoryPressure": stopped, "DiskPressure": never, "PIDPressure": never}

    def test_said_once(self) -> None:
        silent = node()
        silent["status"]["conditions"] = node_health.silent_conditions(silent, NOW)
        assert node_health.silent_conditions(silent, NOW) is None


def running(**options: Any) -> Obj:
    obj = pod("web-1", ready=True, spec={"containers": [{"name": "c"}], "restartPolicy": "Always"}, **options)
    obj["status"]["conditions"].append({"type": "ContainersReady", "status": "True"})
    obj["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    return obj


def merged(obj: Obj, patch: Obj | None) -> Obj:
    assert patch is not None
    status = {**obj["status"], **patch}
    return {**obj, "status": {k: v for k, v in status.items() if v is not None}}


class TestLostAndFound:
    def test_lost(self) -> None:
        lost = merged(running(), node_health.lost_status(running(), NOW))["status"]
        assert (lost["phase"], lost["reason"]) == ("Unknown", "NodeLost")
        assert lost["message"] == "Node n1 which was running pod web-1 is unresponsive"
        assert [(c["type"], c["status"]) for c in lost["conditions"]] == [
            ("Ready", "False"),
            ("ContainersReady", "True"),
        ]

    def test_said_once(self) -> None:
        assert node_health.lost_status(merged(running(), node_health.lost_status(running(), NOW)), NOW) is None

    @pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
    def test_what_has_ended_has_ended(self, phase: str) -> None:
        assert node_health.lost_status(running(phase=phase), NOW) is None

    def test_found_again(self) -> None:
        lost = merged(running(), node_health.lost_status(running(), NOW))
        found = merged(lost, node_health.found_status(lost, NOW, node_is_ready=True))
        assert found["status"]["phase"] == "Running"
        assert "reason" not in found["status"] and "message" not in found["status"]
        assert meta.is_condition_true(found, "Ready")

    def test_a_pod_that_was_not_ready_is_not_made_ready(self) -> None:
        obj = running()
        obj["status"]["conditions"] = [{"type": t, "status": "False"} for t in ("Ready", "ContainersReady")]
        lost = merged(obj, node_health.lost_status(obj, NOW))
        found = merged(lost, node_health.found_status(lost, NOW, node_is_ready=True))
        assert found["status"]["phase"] == "Running" and not meta.is_condition_true(found, "Ready")

    def test_a_pod_the_kubelet_has_corrected_is_left_alone(self) -> None:
        assert node_health.found_status(running(), NOW, node_is_ready=True) is None

    def test_a_pod_is_not_ready_before_its_node(self) -> None:
        lost = merged(running(), node_health.lost_status(running(), NOW))
        early = merged(lost, node_health.found_status(lost, NOW, node_is_ready=False))
        assert early["status"]["phase"] == "Running" and not meta.is_condition_true(early, "Ready")
        assert node_health.is_marked(early)
        found = merged(early, node_health.found_status(early, NOW, node_is_ready=True))
        assert meta.is_condition_true(found, "Ready") and not node_health.is_marked(found)

    def test_readiness_taken_for_the_node_comes_back_with_it(self) -> None:
        marked = merged(running(), node_health.not_ready_status(running(), NOW))
        assert marked["status"]["phase"] == "Running" and not meta.is_condition_true(marked, "Ready")
        found = merged(marked, node_health.found_status(marked, NOW, node_is_ready=True))
        assert meta.is_condition_true(found, "Ready")

    def test_our_own_standstill_is_not_the_nodes_silence(self) -> None:
        beats = {"n1": node_health.observe(None, node(), None, 10.0)}
        assert node_health.after_standstill(beats, 3600.0)["n1"].seen_at == 3610.0


@pytest.mark.parametrize(
    ("subject", "keys"),
    [
        pytest.param(node(), set(), id="well"),
        pytest.param(node(ready="False"), {NOT_READY}, id="not ready"),
        pytest.param(node(ready="Unknown"), {UNREACHABLE}, id="silent"),
        pytest.param(node(ready=""), {NOT_READY}, id="said nothing yet"),
        pytest.param(node(unschedulable=True), {node_taints.UNSCHEDULABLE}, id="cordoned"),
        pytest.param(
            node(conditions={"MemoryPressure": "True", "DiskPressure": "False", "PIDPressure": "True"}),
            {"node.kubernetes.io/memory-pressure", "node.kubernetes.io/pid-pressure"}, id="under pressure",
        ),
        pytest.param(node(conditions={"NetworkUnavailable": "True"}), {"node.kubernetes.io/network-unavailable"}, id="no network"),
    ],
)  # fmt: skip
def test_no_schedule_taints_follow_the_conditions(subject: Obj, keys: set[str]) -> None:
    wanted = node_taints.wanted(subject, NOW, may_evict=False)
    assert {(t["key"], t["effect"]) for t in wanted} == {(key, "NoSchedule") for key in keys}


def taint(key: str, effect: str = "NoExecute", **more: Any) -> Obj:
    return {"key": key, "effect": effect, **more}


@pytest.mark.parametrize(
    ("subject", "may_evict", "expected"),
    [
        pytest.param(node(ready="Unknown"), True, {UNREACHABLE}, id="its turn has come"),
        pytest.param(node(ready="Unknown"), False, set(), id="not its turn yet"),
        pytest.param(node(ready="False", taints=[taint(UNREACHABLE)]), False, {NOT_READY}, id="changes its kind"),
        pytest.param(node(taints=[taint(NOT_READY)]), False, set(), id="well again"),
        pytest.param(node(taints=[taint("mine")]), True, {"mine"}, id="foreign taints stay"),
        pytest.param(node(ready=""), True, set(), id="never spoke: nothing to evict"),
    ],
)
def test_no_execute_taints(subject: Obj, may_evict: bool, expected: set[str]) -> None:
    wanted = node_taints.wanted(subject, NOW, may_evict=may_evict)
    assert {t["key"] for t in wanted if t["effect"] == "NoExecute"} == expected


def test_a_taint_that_stays_keeps_its_time() -> None:
    subject = node(ready="Unknown", taints=[taint(UNREACHABLE, timeAdded=ago(90))])
    assert taint(UNREACHABLE, timeAdded=ago(90)) in node_taints.wanted(subject, NOW, may_evict=True)


@pytest.mark.parametrize(
    ("tolerations", "taints", "expected"),
    [
        pytest.param([], [taint("a", "NoSchedule")], None, id="NoSchedule evicts nobody"),
        pytest.param([], [taint("a")], 0, id="at once"),
        pytest.param([{"operator": "Exists"}], [taint("a"), taint("b")], None, id="tolerates everything"),
        pytest.param([{"key": "a", "operator": "Exists"}], [taint("a"), taint("b")], 0, id="but not this one"),
        pytest.param([{"key": "a", "operator": "Exists", "tolerationSeconds": 30}], [taint("a", timeAdded=ago(10))], 20, id="for a while"),
        pytest.param([{"key": "a", "operator": "Exists", "tolerationSeconds": 30}], [taint("a")], 30, id="counting from now"),
        pytest.param([{"key": "a", "operator": "Exists", "tolerationSeconds": -5}], [taint("a")], 0, id="below zero is zero"),
        pytest.param(
            [{"operator": "Exists", "tolerationSeconds": 60}, {"key": "a", "operator": "Exists", "tolerationSeconds": 30}],
            [taint("a")], 30, id="the shortest counts",
        ),
        pytest.param([{"key": "a", "value": "x"}], [taint("a", value="x")], None, id="equal"),
        pytest.param([{"key": "a", "value": "y"}], [taint("a", value="x")], 0, id="not equal"),
        pytest.param([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}], [taint("a")], 0, id="another effect"),
    ],
)  # fmt: skip
def test_evict_at(tolerations: list[Obj], taints: list[Obj], expected: int | None) -> None:
    at = node_taints.evict_at(tolerations, taints, NOW)
    assert at == (None if expected is None else NOW + timedelta(seconds=expected))


@pytest.mark.parametrize(
    ("ready", "unwell", "state", "per_second"),
    [
        (3, 0, Zone.NORMAL, 0.1), (2, 1, Zone.NORMAL, 0.1), (1, 2, Zone.NORMAL, 0.1),
        (1, 3, Zone.PARTIAL, 0.0), (30, 40, Zone.PARTIAL, 0.01), (0, 3, Zone.FULL, 0.1), (0, 0, Zone.NORMAL, 0.1),
    ],
)  # fmt: skip
def test_the_rate_of_giving_nodes_up(ready: int, unwell: int, state: Zone, per_second: float) -> None:
    nodes = [node(f"a{i}") for i in range(ready)] + [node(f"b{i}", "Unknown") for i in range(unwell)]
    assert eviction_rate.state(nodes) is state
    assert eviction_rate.rate(state, len(nodes), all_full=False) == per_second


def test_when_everything_is_down_nothing_is_given_up() -> None:
    assert eviction_rate.rate(Zone.FULL, 3, all_full=True) == 0


def test_the_bucket_lets_one_through_and_then_one_each_ten_seconds() -> None:
    bucket = Bucket()
    taken = [at for at in range(100, 131) if bucket.take(float(at))]
    assert taken == [100, 110, 120, 130]
    bucket.set_rate(0, 140.0)
    assert bucket.take(140.0) is False


class TestCidrSet:
    def test_parts_are_handed_out_in_turn_and_rest_when_returned(self) -> None:
        cidrs = CidrSet("10.244.0.0/22", 24)
        first = [cidrs.allocate() for _ in range(2)]
        cidrs.release(first[0])
        assert [*first, cidrs.allocate(), cidrs.allocate(), cidrs.allocate()] == [
            "10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24", "10.244.0.0/24",
        ]  # fmt: skip
        with pytest.raises(Exhausted):
            cidrs.allocate()

    @pytest.mark.parametrize(
        ("cidr", "taken"),
        [("10.244.1.0/24", 1), ("10.244.0.0/23", 2), ("10.244.1.128/25", 1), ("10.0.0.0/8", 4), ("10.9.0.0/24", 0),
         ("fd00::/64", 0)],
        ids=["one", "two", "a piece of one", "more than all", "outside", "another family"],
    )  # fmt: skip
    def test_occupy(self, cidr: str, taken: int) -> None:
        cidrs = CidrSet("10.244.0.0/22", 24)
        assert cidrs.occupy(cidr)
        assert len(cidrs) == taken
        assert cidrs.occupy(cidr) is (taken == 0)

    @pytest.mark.parametrize(("cluster", "mask"), [("10.244.0.0/24", 16), ("10.244.0.0/24", 33), ("10.244.0.1/24", 26)])
    def test_what_cannot_be_divided_is_refused(self, cluster: str, mask: int) -> None:
        with pytest.raises(ValueError):
            CidrSet(cluster, mask)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(st.one_of(st.none(), st.integers(0, 15)), max_size=60))
    def test_no_part_is_ever_held_twice(self, steps: list[int | None]) -> None:
        cidrs, held = CidrSet("10.0.0.0/28", 32), list[str]()
        for step in steps:
            if step is None and len(held) < 16:
                given_out = cidrs.allocate()
                assert given_out not in held
                held.append(given_out)
            elif step is not None and step < len(held):
                cidrs.release(held.pop(step))
        assert len(cidrs) == len(held)
