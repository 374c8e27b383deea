"""Seats shared out among levels.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#seat-borrowing ; KEP-1040, "Seat Borrowing"
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.kinds.flow_objects import LEVELS
from apiserver.flow.level import Demand, Rules
from apiserver.flow.shares import Seats, Wanted, rules_of, seats_of, share_out

BY_NAME = {level["metadata"]["name"]: level for level in LEVELS}


def test_the_defaults_of_six_hundred() -> None:
    """Nominal by 245 shares, rounded up; what may be lent goes off the lower bound; nothing bounds borrowing."""
    assert seats_of(LEVELS, 600) == {
        "exempt": Seats(0, 0, 600),
        "catch-all": Seats(13, 13, 613),
        "system": Seats(74, 50, 674),
        "node-high": Seats(98, 74, 698),
        "leader-election": Seats(25, 25, 625),
        "workload-high": Seats(98, 49, 698),
        "workload-low": Seats(245, 25, 845),
        "global-default": Seats(49, 25, 649),
    }


def test_a_bound_to_borrowing_and_a_lending_exempt_level() -> None:
    levels = [
        {"metadata": {"name": "a"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 30, "lendablePercent": 10, "borrowingLimitPercent": 50}}},
        {"metadata": {"name": "b"}, "spec": {"type": "Exempt", "exempt": {
            "nominalConcurrencyShares": 10, "lendablePercent": 100}}},
    ]  # fmt: skip
    assert seats_of(levels, 100) == {"a": Seats(75, 67, 113), "b": Seats(25, 0, 125)}


@pytest.mark.parametrize(
    ("level", "rules"),
    [
        ("exempt", Rules(exempt=True)),
        ("catch-all", Rules()),
        ("workload-low", Rules(queues=128, hand=6, most_queued=50)),
    ],
)
def test_rules_of_levels(level: str, rules: Rules) -> None:
    assert rules_of(BY_NAME[level]) == rules


@pytest.mark.parametrize(("nominal", "widest"), [(0, 1), (13, 2), (49, 7), (98, 10), (245, 10)])
def test_one_request_takes_no_more_than_a_part_of_its_level(nominal: int, widest: int) -> None:
    """maximumSeatsLimit 10 and priorityLevelMaxSeatsPercent 0.15 of k8s.io/apiserver/pkg/util/flowcontrol"""
    assert Seats(nominal, 0, 0).widest == widest


def test_who_asks_gets_what_others_lend_and_they_get_it_back() -> None:
    idle, crowd, some = Demand(0, 0, 0), Demand(600, 40, 900), Demand(20, 5, 40)
    seats = seats_of(LEVELS, 600)

    def limits(demands: dict[str, Demand]) -> dict[str, int]:
        rows = []
        for name, bounds in seats.items():
            demand = demands.get(name, idle)
            wanted = Wanted().after(demand, bounds)
            rows.append((Wanted.least(demand, bounds), bounds.upper, wanted.target))
        return dict(zip(seats, share_out(602, rows)[0], strict=True))

    alone = limits({"global-default": crowd})
    assert alone["global-default"] == 602 - (13 + 50 + 74 + 25 + 49 + 25)
    both = limits({"global-default": crowd, "node-high": Demand(98, 0, 98)})
    assert both["node-high"] == 98, "what was lent is taken back at once"
    quiet = limits({"node-high": some})
    assert sum(quiet.values()) == pytest.approx(602, abs=3)
    assert all(seats[name].lower <= limit <= seats[name].upper for name, limit in quiet.items())


def test_demand_is_remembered_for_minutes() -> None:
    """smoothSeatDemand: up at once, down by half in five minutes."""
    seats = Seats(49, 25, 649)
    wanted = Wanted().after(Demand(100.0, 20.0, 150), seats)
    assert (wanted.smoothed, wanted.target) == (120.0, 120.0)
    for _ in range(30):
        wanted = wanted.after(Demand(0.0, 0.0, 0), seats)
    assert 58 < wanted.smoothed < 62


_ROWS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 100), st.floats(0, 200)).map(
        lambda row: (row[0], row[0] + row[1], row[2])
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@given(_ROWS, st.integers(0, 1000))
def test_each_gets_its_target_times_a_fraction_within_its_bounds(
    rows: list[tuple[int, int, float]], total: int
) -> None:
    given_seats, fraction = share_out(total, rows)
    for (low, high, target), seats in zip(rows, given_seats, strict=True):
        assert low <= seats <= high
        assert abs(seats - max(low, min(high, fraction * max(target, 0.001)))) <= 0.51
    bounded = max(sum(row[0] for row in rows), min(total, sum(row[1] for row in rows)))
    assert sum(given_seats) == pytest.approx(bounded, abs=len(rows))
