"""Flow control as a whole: objects and requests in, tickets out."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import pytest

from api.kinds.flow_objects import LEVELS, SCHEMAS
from api.meta import Obj
from apiserver.auth.user import User
from apiserver.flow.control import PERIOD, Control
from apiserver.flow.level import NO_SEAT, TIMED_OUT, Full, Ticket
from apiserver.request import parse

JANE, JOHN = (User(name, ("system:authenticated",)) for name in ("jane", "john"))
MASTER = User("admin", ("system:masters", "system:authenticated"))
NODE = User("system:node:a", ("system:nodes", "system:authenticated"))
PODS = parse("GET", "/api/v1/namespaces/shop/pods")
LEASE = parse("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a")


def _stored(obj: Obj) -> Obj:
    stored = copy.deepcopy(obj)
    stored["metadata"]["uid"] = f"uid of {obj['metadata']['name']}"
    return stored


def control(seats: int = 600, levels: Iterable[Obj] = LEVELS, schemas: Iterable[Obj] = SCHEMAS) -> Control:
    made = Control(seats, 0.0)
    for level in levels:
        made.on_level(level["metadata"]["name"], _stored(level))
    for schema in schemas:
        made.on_schema(schema["metadata"]["name"], _stored(schema))
    made.tick(0.0)
    return made


def crowd(made: Control, user: User, number: int, now: float) -> list[Ticket]:
    flow = made.flow_of(user, PODS)
    return [made.arrive(flow, 1, now) for _ in range(number)]


def test_before_anything_is_known_there_are_the_mandatory_objects() -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#mandatory-configuration-objects"""
    made = Control(10, 0.0)
    assert {name: level.limit for name, level in made.levels.items()} == {"exempt": 0, "catch-all": 10}
    assert made.flow_of(MASTER, PODS).level.name == "exempt"
    flow = made.flow_of(JANE, PODS)
    assert (flow.level.name, flow.headers) == ("catch-all", ())
    crowd(made, JANE, 10, 0.0)
    with pytest.raises(Full, match=NO_SEAT):
        made.arrive(flow, 1, 0.0)
    assert made.flow_of(User("of no group"), PODS).level.name == "catch-all"


def test_answers_tell_the_uids() -> None:
    assert control().flow_of(NODE, LEASE).headers == (
        (b"X-Kubernetes-PF-FlowSchema-UID", b"uid of system-node-high"),
        (b"X-Kubernetes-PF-PriorityLevel-UID", b"uid of node-high"),
    )


def test_a_crowd_leaves_other_levels_alone_and_other_users_of_its_own_a_queue() -> None:
    made = control()
    tickets = crowd(made, JANE, 300, 0.0)
    assert any(ticket.started is None for ticket in tickets)
    assert made.arrive(made.flow_of(NODE, LEASE), 1, 0.0).started == 0.0
    waits = made.arrive(made.flow_of(JOHN, PODS), 1, 0.0)
    served = 0
    running = [ticket for ticket in tickets if ticket.started is not None]
    while waits.started is None:
        served += 1
        made.leave(running.pop(0), served * 0.01)
    assert served <= 2, "the one with no share yet is next"


def test_seats_go_where_they_are_wanted_and_come_back() -> None:
    made = control()
    level = made.levels["global-default"]
    before = level.limit
    tickets = crowd(made, JANE, 300, 0.0)
    started = made.tick(PERIOD)
    assert level.limit > 2 * before
    assert len(started) == 300 - before
    for ticket in tickets:
        if ticket.started is not None:
            made.leave(ticket, PERIOD + 1)
    assert level.taken == len([t for t in tickets if not t.over]) <= level.limit
    nodes = [made.arrive(made.flow_of(NODE, LEASE), 1, PERIOD + 2) for _ in range(90)]
    made.tick(2 * PERIOD)
    assert made.levels["node-high"].limit >= 90
    assert sum(ticket.started is not None for ticket in nodes) >= 74, "no less than it never lends"


def test_changed_objects_count_from_the_next_request_on() -> None:
    made = control()
    assert made.flow_of(JANE, PODS).level.name == "global-default"
    crowded = [*crowd(made, JANE, 300, 0.0), *crowd(made, JOHN, 300, 0.0)]
    level = crowded[0].level
    moved = _stored(next(s for s in SCHEMAS if s["metadata"]["name"] == "global-default"))
    moved["spec"]["priorityLevelConfiguration"]["name"] = "exempt"
    made.on_schema("global-default", moved)
    made.tick(1.0)
    assert made.flow_of(JANE, PODS).level.name == "exempt"
    made.on_level("global-default", None)
    made.on_schema("global-default", None)
    made.tick(1.0)
    assert made.flow_of(JANE, PODS).level.name == "catch-all"
    assert "global-default" not in made.levels
    assert level.waiting > 0
    for ticket in sorted(crowded, key=lambda one: one.started is None):
        while ticket.started is None:
            made.leave(next(one for one in crowded if one.started is not None and not one.over), 2.0)
    for ticket in crowded:
        if not ticket.over:
            made.leave(ticket, 3.0)
    assert (level.taken, level.waiting) == (0, 0), "who was in it has found his way out"


def test_a_server_that_is_late_serves_less_at_once_until_it_is_not() -> None:
    made = control()
    level = made.levels["workload-low"]
    before = level.limit
    assert made.is_quiet
    for beat in range(20):
        made.keep_pace(0.2, beat * 0.1)
    assert 0 < level.limit <= before // 9
    assert all(one.limit > 0 for name, one in made.levels.items() if name != "exempt")
    assert not made.is_quiet
    for beat in range(40):
        made.keep_pace(0.001, beat * 0.1)
    assert level.limit == before
    assert made.is_quiet


def test_what_is_counted() -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#metrics"""
    made = control(8)
    limit = made.levels["global-default"].limit
    tickets = crowd(made, JANE, limit + 2, 0.0)
    tally = made.tallies["global-default", "global-default"]
    assert (tally.dispatched, tally.executing, tally.seats, tally.queued) == (limit, limit, limit, 2)
    made.give_up(tickets[-1], 1.0, TIMED_OUT)
    made.leave(tickets[0], 2.0)
    assert (tally.dispatched, tally.executing, tally.queued) == (limit + 1, limit, 0)
    assert tally.rejected == {TIMED_OUT: 1}
    [(key, buckets, total)] = [row for row in made.waits if row[0][2] == "true"]
    assert (key, buckets[-1][1], total) == (("global-default", "global-default", "true"), limit + 1, 2.0)


def test_what_is_remembered_is_bounded() -> None:
    made = control()
    for number in range(10_000):
        made.flow_of(JANE, parse("GET", f"/nowhere/{number}"))
    assert len(made._flows) <= 8192
