"""Delays between attempts that fail: each about `factor` times the last, up to `most`, with jitter so that a
hundred clients of a restarted server do not come back in step."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    def __init__(
        self,
        least: float = 0.2,
        most: float = 2.0,
        factor: float = 1.6,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._least, self._most, self._factor, self._jitter = least, most, factor, jitter
        self._next = least

    def delay(self) -> float:
        """Seconds to wait now: between 75 % and 125 % of the current step."""
        step = self._next
        self._next = min(step * self._factor, self._most)
        return step * (0.75 + 0.5 * self._jitter())

    def reset(self) -> None:
        self._next = self._least
