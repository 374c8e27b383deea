"""One priority level as a machine: seats, queues, fairness. KEP-1040; k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apiserver.flow.level import NO_SEAT, QUEUE_FULL, Full, Level, Rules, Ticket, deal

QUEUED = Rules(queues=64, hand=6, most_queued=50)


def level(limit: int, rules: Rules = QUEUED) -> Level:
    return Level("test", rules, limit, 0.0)


def names(tickets: list[Ticket]) -> list[str]:
    return [ticket.flow for ticket in tickets]


def test_who_finds_a_seat_starts_and_the_others_wait_for_one() -> None:
    lane = level(2)
    first, second, third = (lane.arrive(name, (0, 1), 1, 0.0) for name in "abc")
    assert (first.started, second.started, third.started) == (0.0, 0.0, None)
    assert names(lane.leave(first, 1.0)) == ["c"]
    assert third.started == 1.0
    assert lane.leave(second, 2.0) == lane.leave(third, 2.0) == []
    assert (lane.taken, lane.waiting) == (0, 0)


def test_a_full_queue_refuses_and_a_level_without_queues_refuses_at_once() -> None:
    """limitResponse Queue with queueLengthLimit, and Reject."""
    lane = level(1, Rules(queues=2, hand=1, most_queued=2))
    for _ in range(3):
        lane.arrive("noisy", (0,), 1, 0.0)
    with pytest.raises(Full, match=QUEUE_FULL):
        lane.arrive("noisy", (0,), 1, 0.0)
    assert lane.arrive("other", (1,), 1, 0.0).started is None
    bare = level(1, Rules())
    bare.arrive("a", (), 1, 0.0)
    with pytest.raises(Full, match=NO_SEAT):
        bare.arrive("b", (), 1, 0.0)


def test_an_exempt_level_has_room_for_everybody() -> None:
    lane = level(0, Rules(exempt=True))
    tickets = [lane.arrive("master", (), 10, 0.0) for _ in range(100)]
    assert all(ticket.started == 0.0 for ticket in tickets)
    assert lane.taken == 1000


def test_a_flow_that_asks_for_little_passes_one_that_asks_for_much() -> None:
    """A heavy flow fills its hand; a light one's first request is served next, not after all that waited before it."""
    lane = level(4)
    running = [lane.arrive("heavy", (0, 1, 2), 1, 0.0) for _ in range(104)][:4]
    for step in range(40):
        running += lane.leave(running.pop(0), step * 0.025)
    light = lane.arrive("light", (7, 8, 9), 1, 1.0)
    before = 0
    while light.started is None:
        running += lane.leave(running.pop(0), 1.0 + before * 0.025)
        before += 1
    assert lane.waiting == 61 - before
    assert before <= 8, "no more than are served in the time of two"


def test_two_crowding_flows_get_as_much_time_each_whatever_they_ask_at_once() -> None:
    """Fair by seat-seconds, not by requests: one flow's take ten times as long."""
    lane, now = level(4), 0.0
    lasts = {"short": 0.01, "long": 0.1}
    hands = {"short": (0, 1), "long": (2, 3)}
    served: Counter[str] = Counter()
    running = [lane.arrive(flow, hands[flow], 1, 0.0) for _ in range(30) for flow in lasts]
    ends = [(ticket.started + lasts[ticket.flow], n, ticket) for n, ticket in enumerate(running)
            if ticket.started is not None]  # fmt: skip
    count = len(running)
    while now < 20:
        ends.sort()
        now, _, ticket = ends.pop(0)
        served[ticket.flow] += lasts[ticket.flow]
        more = lane.leave(ticket, now)
        new = lane.arrive(ticket.flow, hands[ticket.flow], 1, now)
        for started in [*more, *([new] if new.started is not None else [])]:
            count += 1
            ends.append((now + lasts[started.flow], count, started))
    assert 0.8 < served["short"] / served["long"] < 1.25, served


def test_a_wide_request_waits_until_it_fits_and_one_wider_than_the_level_goes_alone() -> None:
    lane = level(4)
    small = [lane.arrive("a", (0,), 1, 0.0) for _ in range(2)]
    wide = lane.arrive("b", (1,), 3, 0.0)
    narrow = lane.arrive("c", (2,), 1, 0.0)
    assert (wide.started, narrow.started) == (None, 0.0), "what ends sooner is next"
    assert names(lane.leave(small[0], 1.0)) == []
    assert names(lane.leave(small[1], 1.0)) == ["b"]
    widest = lane.arrive("d", (3,), 9, 1.0)
    assert lane.leave(narrow, 2.0) == []
    assert names(lane.leave(wide, 2.0)) == ["d"]
    assert lane.taken == 9
    assert lane.leave(widest, 3.0) == []


def test_who_gives_up_makes_room() -> None:
    lane = level(2)
    running = lane.arrive("a", (0,), 1, 0.0)
    wide = lane.arrive("b", (1,), 2, 0.0)
    behind = lane.arrive("c", (1,), 1, 0.0)
    assert names(lane.give_up(wide, 1.0)) == ["c"]
    assert behind.started == 1.0
    assert lane.leave(running, 2.0) == []


def test_a_level_that_grows_starts_who_waited() -> None:
    lane = level(0)
    waiting = [lane.arrive("a", (0,), 1, 0.0) for _ in range(5)]
    assert all(ticket.started is None for ticket in waiting)
    assert lane.resize(3, 1.0) == waiting[:3]


def test_demand_is_measured_over_time() -> None:
    """KEP-1040, seat demand: average, deviation and high watermark of seats taken or waited for."""
    lane = level(1)
    first = lane.arrive("a", (0,), 1, 0.0)
    second = lane.arrive("a", (0,), 1, 5.0)
    average, deviation, most = lane.demand(10.0)
    assert (average, deviation, most) == (1.5, 0.5, 2)
    lane.leave(first, 10.0)
    lane.leave(second, 10.0)
    assert lane.demand(20.0) == (0.0, 0.0, 2)
    assert lane.demand(30.0) == (0.0, 0.0, 0)


@given(st.integers(min_value=0), st.integers(1, 200), st.data())
def test_a_hand_is_of_different_queues(entropy: int, queues: int, data: st.DataObject) -> None:
    hand = deal(entropy, queues, data.draw(st.integers(1, min(queues, 10))))
    assert len(set(hand)) == len(hand)
    assert all(0 <= card < queues for card in hand)


def test_every_hand_is_as_likely() -> None:
    assert Counter(deal(entropy, 4, 2) for entropy in range(4 * 3 * 10)) == {
        (a, b): 10 for a in range(4) for b in range(4) if a != b
    }


class Crowd(RuleBasedStateMachine):
    """Whatever comes and goes: no seat is lost or sold twice, nobody who fits is left waiting, nobody starts twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lane = Level("crowd", Rules(queues=8, hand=2, most_queued=3), 5, 0.0)
        self.running: list[Ticket] = []
        self.waiting: list[Ticket] = []

    def _started(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            assert ticket.started == self.now
            self.waiting.remove(ticket)
            self.running.append(ticket)

    @rule(flow=st.integers(0, 20), width=st.integers(1, 7))
    def arrive(self, flow: int, width: int) -> None:
        try:
            ticket = self.lane.arrive(flow, deal(flow, 8, 2), width, self.now)
        except Full:
            assert self.waiting
            return
        (self.waiting if ticket.started is None else self.running).append(ticket)

    @rule(pick=st.integers(0, 1000), elapsed=st.floats(0, 2))
    def leave(self, pick: int, elapsed: float) -> None:
        self.now += elapsed
        if self.running:
            self._started(self.lane.leave(self.running.pop(pick % len(self.running)), self.now))

    @rule(pick=st.integers(0, 1000))
    def give_up(self, pick: int) -> None:
        if self.waiting:
            self._started(self.lane.give_up(self.waiting.pop(pick % len(self.waiting)), self.now))

    @rule(limit=st.integers(0, 8))
    def resize(self, limit: int) -> None:
        self._started(self.lane.resize(limit, self.now))

    @invariant()
    def seats_are_counted(self) -> None:
        assert self.lane.taken == sum(ticket.width for ticket in self.running)
        assert self.lane.waiting == len(self.waiting)
        assert not (self.waiting and not self.running and self.lane.limit), "somebody waits for nobody"
        assert len(self.waiting) <= 8 * 3


Crowd.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCrowd = Crowd.TestCase
