"""Retry-After of refusals. k8s.io/apiserver/pkg/util/flowcontrol dropped_requests_tracker.go"""

from __future__ import annotations

from apiserver.flow.backoff import Backoff


def told(refusals: dict[int, int]) -> list[int]:
    """What the last one of each second is told, of so many in it."""
    backoff = Backoff()
    return [[backoff.refuse(second + 0.5) for _ in range(number)][-1] for second, number in refusals.items()]


def test_few_are_told_a_second() -> None:
    assert told(dict.fromkeys(range(100, 120), 1)) == [1] * 20


def test_many_are_told_twice_as_much_each_time_up_to_half_a_minute() -> None:
    """The next doubling waits for as long as the last one told."""
    assert told(dict.fromkeys(range(100, 135), 40)) == [1, *[2] * 2, *[4] * 4, *[8] * 8, *[16] * 16, *[32] * 4]


def test_one_spike_is_told_once() -> None:
    assert told({100: 1000, 101: 1, 102: 1}) == [1, 2, 2]


def test_it_goes_back_second_by_second() -> None:
    crowd = dict.fromkeys(range(100, 108), 40)
    assert told(crowd | dict.fromkeys(range(200, 400, 50), 1))[-5:] == [8, 7, 6, 5, 4]
