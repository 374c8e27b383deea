from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.clock import FakeClock, settle
from client.workqueue import ShutDown, WorkQueue


async def test_a_key_waits_once() -> None:
    queue = WorkQueue(FakeClock())
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1


async def test_a_key_added_while_worked_on_comes_back_after_done() -> None:
    queue = WorkQueue(FakeClock())
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_delayed_adds_keep_the_earliest_time() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    clock.advance(2.9)
    assert len(queue) == 0
    clock.advance(0.2)
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.done("a")
    clock.advance(20)
    assert len(queue) == 0


async def test_failures_double_the_delay_up_to_the_cap_until_forgotten() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock, base=1, cap=6)
    for expected in (1, 2, 4, 6, 6):
        queue.add_rate_limited("a")
        clock.advance(expected - 0.01)
        assert len(queue) == 0
        clock.advance(0.02)
        assert await queue.get() == "a"
        queue.done("a")
    assert queue.retries("a") == 5
    queue.forget("a")
    assert queue.retries("a") == 0


async def test_shutdown_hands_out_what_is_ready_then_stops_workers() -> None:
    queue = WorkQueue(FakeClock())
    queue.add("a")
    queue.add_after("b", 5)
    queue.shutdown()
    assert await queue.get() == "a"
    with pytest.raises(ShutDown):
        await queue.get()


async def test_a_wake_given_to_a_cancelled_worker_reaches_another() -> None:
    queue = WorkQueue(FakeClock())
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await settle()
    queue.add("a")
    first.cancel()
    assert await second == "a"


@given(st.lists(st.tuples(st.sampled_from(["add", "get", "done"]), st.sampled_from("abc")), max_size=60))
def test_never_two_workers_on_one_key_and_nothing_lost(steps: list[tuple[str, str]]) -> None:
    async def play() -> None:
        queue = WorkQueue(FakeClock())
        working: set[str] = set()
        wanted: set[str] = set()  # added and not handed out since
        for step, key in steps:
            if step == "add":
                queue.add(key)
                wanted.add(key)
            elif step == "get" and len(queue):
                got = await queue.get()
                assert got not in working
                working.add(got)
                wanted.discard(got)
            elif step == "done" and key in working:
                working.discard(key)
                queue.done(key)
        for key in working:
            queue.done(key)
        left = set()
        while len(queue):
            left.add(await queue.get())
        assert left == wanted

    asyncio.run(play())
