"""Waiting for a seat: how long, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from api.builtin import BUILTIN
from api.errors import TooManyRequests
from apiserver.auth.user import MASTERS, User
from apiserver.flow.gate import Gate
from apiserver.request import Request
from apiserver.routes import watch
from apiserver.storage.store import Store, Watch

PODS = "/api/v1/namespaces/shop/pods"
JANE = User("jane")


class Stored:
    """As many objects as a test wants."""

    count_of = 0

    def count(self, *_: Any) -> int:
        return self.count_of


def gate(seats: int = 1, streams: int = 0) -> Gate:
    """Nothing is stored, so all but masters are in catch-all. It queues here."""
    made = Gate(cast(Store, Stored()), BUILTIN, seats=seats, streams=streams, refused=Counter())
    level = {"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "limitResponse": {
        "type": "Queue", "queuing": {"queues": 1, "handSize": 1, "queueLengthLimit": 5}}}}  # fmt: skip
    made.control.on_level("catch-all", {"metadata": {"name": "catch-all"}, "spec": level})
    return made


def request(path: str = PODS, query: str = "", user: User = JANE) -> Request:
    async def receive() -> dict[str, Any]:
        raise AssertionError("nobody reads")

    made = Request({"method": "GET", "path": path, "query_string": query.encode(), "headers": []}, receive)
    made.user = user
    return made


async def test_the_next_one_starts_when_one_leaves() -> None:
    door, first, second = gate(), request(), request()
    assert await door.enter(first, 60.0) == 0.0
    entering = asyncio.create_task(door.enter(second, 60.0))
    await asyncio.sleep(0)
    assert not entering.done()
    door.leave(first)
    door.leave(first)
    assert await entering > 0.0
    door.leave(second)
    assert door.control.levels["catch-all"].taken == 0


async def test_nobody_waits_longer_than_a_quarter_of_his_time() -> None:
    """requestWaitLimit of k8s.io/apiserver: a quarter of the request's timeout; then 429."""
    door, first, second = gate(), request(), request()
    await door.enter(first, 60.0)
    with pytest.raises(TooManyRequests) as refused:
        await door.enter(second, 0.04)
    assert refused.value.details["retryAfterSeconds"] == 1
    door.leave(second)
    door.leave(first)
    tally = door.control.tallies["catch-all", "catch-all"]
    assert (tally.rejected, tally.executing, tally.queued) == ({"time-out": 1}, 0, 0)


@pytest.mark.parametrize("started", [False, True], ids=["while it waits", "as it starts"])
async def test_who_is_cancelled_takes_no_seat_with_him(*, started: bool) -> None:
    door, first, second = gate(), request(), request()
    await door.enter(first, 60.0)
    entering = asyncio.create_task(door.enter(second, 60.0))
    await asyncio.sleep(0)
    if started:
        door.leave(first)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    door.leave(first)
    assert await door.enter(request(), 60.0) == 0.0


async def test_nobody_is_served_who_has_gone_away() -> None:
    door, first, gone, third = gate(), request(), request(), request()
    gone.scope["sampan.gone"] = lambda: True
    await door.enter(first, 60.0)
    abandoned, waiting = (asyncio.create_task(door.enter(one, 60.0)) for one in (gone, third))
    await asyncio.sleep(0)
    door.leave(first)
    with pytest.raises(TooManyRequests):
        await abandoned
    await waiting
    assert third.ticket is not None


async def test_a_user_has_so_many_streams_and_masters_as_many_as_they_like() -> None:
    door = gate(streams=2)
    held = [request() for _ in range(2)]
    for one in held:
        door.open_stream(one)
    with pytest.raises(TooManyRequests):
        door.open_stream(request())
    door.open_stream(request(user=User("john")))
    for _ in range(3):
        door.open_stream(request(user=User("admin", (MASTERS,))))
    door.close_stream(held[0])
    door.open_stream(request())


@pytest.mark.parametrize(
    ("path", "query", "count", "width"),
    [
        (PODS, "", 5, 1),
        (PODS, "", 101, 2),
        (PODS, "", 100_000, 10),
        (PODS, "limit=250", 100_000, 3),
        (PODS, "limit=-1", 100_000, 10),
        (PODS, "limit=" + "9" * 5000, 100_000, 10),
        (PODS, "fieldSelector=metadata.name%3Dx", 100_000, 1),
        (PODS, "watch=1", 100_000, 1),
        (PODS, "watch=1&sendInitialEvents=true", 100_000, 10),
        (PODS + "/x", "", 100_000, 1),
        ("/apis/example.com/v1/things", "", 100_000, 1),
    ],
)
async def test_a_request_is_as_wide_as_what_it_shows(path: str, query: str, count: int, width: int) -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#seats-occupied-by-a-request"""
    door = gate(600)
    cast(Any, door._store).count_of = count
    asked = request(path, query[:500])
    asked.scope["query_string"] = query.encode()
    await door.enter(asked, 60.0)
    assert asked.ticket is not None
    assert asked.ticket.width == width


async def test_a_watch_has_its_seat_until_what_it_begins_with_is_made_read_or_not() -> None:
    """Execution time tweaks for watch requests: only the initial burst of notifications counts."""
    batches = [["a", "b"], ["c", "d"], ["later"]]

    class Beginning:
        beginning = 3

        async def batch(self) -> list[str]:
            return batches.pop(0) if batches else []

        def close(self) -> None:
            told.append("closed")

    told: list[str] = []
    lines = watch._lines(
        cast(Watch, Beginning()),
        lambda events: "".join(map(str, events)).encode(),
        Counter(),
        (),
        lambda: told.append("begun"),
    )
    assert (await anext(lines), told) == (b"ab", [])
    assert (await anext(lines), told) == (b"cd", ["begun"])
    assert [line async for line in lines] == [b"later"]
    assert told == ["begun", "closed"]
