"""What a loop has set in motion and not seen yet.

Between a create and its arrival in the cache the cache shows too few; acting on it would make doubles. A loop
that made or deleted something waits until the watch has told of each, or for five minutes: a watch event that
never comes must not stop it for good. Pure, but for the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from client.clock import Clock

TIMEOUT = 300.0


@dataclass(slots=True)
class _Expected:
    at: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[str, _Expected] = {}

    def expect_creations(self, key: str, count: int) -> None:
        self._expected[key] = _Expected(self._clock.monotonic(), creations=count)

    def expect_deletions(self, key: str, uids: Iterable[str]) -> None:
        self._expected[key] = _Expected(self._clock.monotonic(), deletions=set(uids))

    def saw_creation(self, key: str, count: int = 1) -> None:
        """Seen on the watch, or known not to have happened."""
        if key in self._expected:
            self._expected[key].creations -= count

    def saw_deletion(self, key: str, uid: str) -> None:
        if key in self._expected:
            self._expected[key].deletions.discard(uid)

    def are_met(self, key: str) -> bool:
        expected = self._expected.get(key)
        if expected is None or (expected.creations <= 0 and not expected.deletions):
            return True
        return self._clock.monotonic() > expected.at + TIMEOUT

    def forget(self, key: str) -> None:
        self._expected.pop(key, None)
