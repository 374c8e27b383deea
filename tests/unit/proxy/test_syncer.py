"""News are joined: one run for many changes, the first at once."""

from __future__ import annotations

import asyncio

from client.clock import FakeClock, settle
from proxy.syncer import Pulse


async def test_the_first_beat_is_answered_at_once_and_the_next_ones_together() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, 0.05)
    runs: list[float] = []

    async def work() -> None:
        while True:
            await pulse.wait()
            runs.append(round(clock.monotonic(), 3))

    task = asyncio.create_task(work())
    pulse.beat()
    await clock.run_for(0)
    assert runs == [0]
    for _ in range(4):
        pulse.beat()
        await clock.run_for(0.01)
    assert runs == [0]
    await clock.run_for(0.1)
    assert runs == [0, 0.05]
    task.cancel()


async def test_a_beat_during_the_work_is_not_lost() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, 0.05)
    runs: list[float] = []

    async def work() -> None:
        while True:
            await pulse.wait()
            runs.append(round(clock.monotonic(), 3))
            await clock.sleep(1)

    task = asyncio.create_task(work())
    pulse.beat()
    await clock.run_for(0.5)
    pulse.beat()
    await clock.run_for(1)
    assert runs == [0, 1]
    task.cancel()


async def test_it_beats_regularly() -> None:
    clock = FakeClock()
    pulse = Pulse(clock, 0.05)
    beating = asyncio.create_task(pulse.every(30))
    waiting = asyncio.create_task(pulse.wait())
    await clock.run_for(29)
    assert not waiting.done()
    await clock.run_for(2)
    await settle()
    assert waiting.done()
    beating.cancel()
