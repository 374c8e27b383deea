from __future__ import annotations

import pytest

from api.errors import Conflict, ServiceUnavailable
from client.clock import FakeClock
from client.reconciler import Reconciler


class Trial:
    """A reconciler whose next outcome is set by the test."""

    def __init__(self, outcome: float | Exception | None) -> None:
        self.clock = FakeClock()
        self.outcome = outcome
        self.reconciler = Reconciler("trial", self._reconcile, clock=self.clock)

    async def _reconcile(self, key: str) -> float | None:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def due_within(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        return len(self.reconciler.queue) > 0


async def test_done_is_done() -> None:
    trial = Trial(None)
    await trial.reconciler.process("a")
    assert not await trial.due_within(10_000)


async def test_a_returned_number_looks_again_after_so_many_seconds() -> None:
    trial = Trial(30.0)
    await trial.reconciler.process("a")
    assert not await trial.due_within(29)
    assert await trial.due_within(2)


@pytest.mark.parametrize("error", [Conflict("x"), ZeroDivisionError()], ids=["conflict", "bug"])
async def test_failures_are_retried_with_growing_delay(error: Exception) -> None:
    trial = Trial(error)
    for expected in range(1, 4):
        await trial.reconciler.process("a")
        assert trial.reconciler.queue.retries("a") == expected


async def test_a_server_that_is_away_for_hours_is_retried_within_seconds() -> None:
    trial = Trial(ServiceUnavailable("away"))
    for _ in range(1000):
        await trial.reconciler.process("a")
        assert await trial.due_within(1.5)
        await trial.reconciler.queue.get()
        trial.reconciler.queue.done("a")
