"""Time, injected. Nothing in Sampan that waits or compares times asks the operating system directly.

`RealClock` is the machine's. `FakeClock` moves only when a test says so: `advance` fires what falls due, in
order of time, and `run_for` does it step by step, letting the event loop settle between the steps.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> object: ...


class Clock(Protocol):
    def now(self) -> datetime:
        """The wall time, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call once after `seconds`, on the event loop, unless cancelled."""
        ...


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)


class _FakeTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    def __init__(self, start: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._order = 0
        self._timers: list[tuple[float, int, _FakeTimer]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        done = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        timer = self.call_later(max(seconds, 0), wake)
        try:
            await done
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _FakeTimer:
        timer = _FakeTimer(callback)
        self._order += 1
        heapq.heappush(self._timers, (self._elapsed + seconds, self._order, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move the time and fire what falls due. Coroutines that this wakes run at the next await."""
        until = self._elapsed + seconds
        while self._timers and self._timers[0][0] <= until:
            self._fire_next()
        self._elapsed = until

    async def run_for(self, seconds: float) -> None:
        """Like `advance`, but whatever a timer wakes runs, and may set new timers, before time goes on."""
        until = self._elapsed + seconds
        await settle()
        while self._timers and self._timers[0][0] <= until:
            self._fire_next()
            await settle()
        self._elapsed = until

    def _fire_next(self) -> None:
        when, _, timer = heapq.heappop(self._timers)
        self._elapsed = max(self._elapsed, when)
        if timer.callback is not None:
            timer.callback()


async def settle(rounds: int = 20) -> None:
    """Let everything that can run without time passing run."""
    for _ in range(rounds):
        await asyncio.sleep(0)
