from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.queue import Place, SchedulingQueue
from scheduler.snapshot import Change
from tests.unit.scheduler.objects import pod

FIT, TAINTS = frozenset({"NodeResourcesFit"}), frozenset({"TaintToleration"})


def popped(queue: SchedulingQueue, now: float) -> str:
    entry = queue.pop(now)
    return entry.pod.name if entry else ""


def test_priority_goes_first_then_who_came_first() -> None:
    queue = SchedulingQueue()
    for name, priority in (("old", 0), ("new", 0), ("urgent", 100)):
        queue.put(pod(name, priority=priority), 0)
    assert [popped(queue, 0) for _ in range(4)] == ["urgent", "old", "new", ""]


@pytest.mark.parametrize(
    ("blockers", "change", "helped"),
    [
        pytest.param(FIT, Change.POD_REMOVED, True, id="a pod left, room was short"),
        pytest.param(FIT, Change.NODE_LABELS, False, id="labels do not make room"),
        pytest.param(TAINTS, Change.NODE_TAINTS, True, id="a taint was taken away"),
        pytest.param(TAINTS, Change.POD_REMOVED, False, id="a pod that left does not untaint"),
        pytest.param(FIT | TAINTS, Change.NODE_TAINTS, True, id="one of two"),
        pytest.param(frozenset[str](), Change.NODE_ADDED, True, id="there was no node at all"),
    ],
)
def test_only_changes_that_could_help_bring_a_pod_back(blockers: frozenset[str], change: Change, helped: bool) -> None:
    queue = SchedulingQueue()
    queue.put(pod("p"), 0)
    queue.pop(0)
    queue.unschedulable("uid-p", blockers, 0)
    queue.changed({change}, 100)
    assert queue.place_of("uid-p") is (Place.ACTIVE if helped else Place.UNSCHEDULABLE)


def test_backoff_doubles_to_ten_seconds_while_others_are_served_first() -> None:
    queue, now = SchedulingQueue(), 0.0
    queue.put(pod("p"), now)
    for wait in (1, 2, 4, 8, 10, 10):
        assert popped(queue, now) == "p"
        queue.failed("uid-p", now)
        assert popped(queue, now + wait - 0.1) == ""
        assert queue.due() == now + wait
        now += wait


def test_with_nothing_else_to_do_backoff_is_cut_short_except_after_errors() -> None:
    queue = SchedulingQueue()
    queue.put(pod("p"), 0)
    queue.pop(0)
    queue.unschedulable("uid-p", FIT, 0)
    queue.changed({Change.POD_REMOVED}, 0.1)
    assert queue.place_of("uid-p") is Place.BACKOFF
    queue.put(pod("q"), 0.1)
    assert [popped(queue, 0.1), popped(queue, 0.1)] == ["q", "p"]
    queue.failed("uid-q", 0.1)
    assert popped(queue, 0.2) == ""


def test_a_storm_of_changes_is_not_a_storm_of_attempts() -> None:
    queue, now, attempts = SchedulingQueue(), 0.0, 0
    queue.put(pod("p"), now)
    for _ in range(6000):
        now += 0.01
        if queue.pop(now) is not None:
            attempts += 1
            queue.unschedulable("uid-p", FIT, now)
        queue.changed({Change.NODE_ADDED}, now)
    assert attempts <= 12


def test_whoever_waited_five_minutes_is_tried_again() -> None:
    queue = SchedulingQueue()
    queue.put(pod("p"), 0)
    queue.pop(0)
    queue.unschedulable("uid-p", TAINTS, 0)
    queue.flush(299)
    assert popped(queue, 299) == ""
    queue.flush(300)
    assert popped(queue, 300) == "p"


def test_a_pod_that_asks_for_less_is_tried_again_a_new_status_is_nothing() -> None:
    queue = SchedulingQueue()
    queue.put(pod("p", cpu="2"), 0)
    queue.pop(0)
    queue.unschedulable("uid-p", FIT, 0)
    queue.put(pod("p", cpu="2"), 50)
    assert queue.place_of("uid-p") is Place.UNSCHEDULABLE
    queue.put(pod("p", cpu="1"), 50)
    assert queue.place_of("uid-p") is Place.ACTIVE


def test_gates_hold_a_pod_until_they_are_gone() -> None:
    queue = SchedulingQueue()
    queue.put(pod("p", schedulingGates=[{"name": "g"}]), 0)
    assert popped(queue, 0) == ""
    queue.put(pod("p"), 1)
    assert popped(queue, 1) == "p"


def test_a_removed_pod_is_never_handed_out() -> None:
    queue = SchedulingQueue()
    queue.put(pod("p"), 0)
    queue.remove("uid-p")
    assert popped(queue, 0) == ""
    assert len(queue) == 0


STEP = st.tuples(st.sampled_from(["put", "pop", "fail", "full", "event", "remove"]), st.sampled_from("abc"))


@given(st.lists(STEP, max_size=50))
def test_no_pod_is_handed_out_twice_or_lost(steps: list[tuple[str, str]]) -> None:
    queue, now = SchedulingQueue(), 0.0
    known: set[str] = set()
    flying: set[str] = set()
    for step, name in steps:
        now += 0.7
        uid = f"uid-{name}"
        if step == "put":
            queue.put(pod(name), now)
            known.add(uid)
        elif step == "pop":
            entry = queue.pop(now)
            if entry is not None:
                assert entry.pod.uid in known - flying
                flying.add(entry.pod.uid)
        elif step == "fail" and uid in flying:
            queue.failed(uid, now)
            flying.discard(uid)
        elif step == "full" and uid in flying:
            queue.unschedulable(uid, FIT, now)
            flying.discard(uid)
        elif step == "event":
            queue.changed({Change.POD_REMOVED}, now)
        elif step == "remove":
            queue.remove(uid)
            known.discard(uid)
            flying.discard(uid)
    queue.flush(now + 1000)
    left = set()
    while (entry := queue.pop(now + 2000)) is not None:
        left.add(entry.pod.uid)
    assert left == known - flying
