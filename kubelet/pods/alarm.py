"""One timer that rings at the earliest moment it was set to."""

from __future__ import annotations

from collections.abc import Callable

from client.clock import Clock, Timer

_LEAST_SECONDS = 0.01


class Alarm:
    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock, self._ring = clock, ring
        self._timer: Timer | None = None
        self._due = 0.0

    def set(self, seconds: float) -> None:
        """At the latest in so many seconds; an earlier one stays."""
        seconds = max(seconds, _LEAST_SECONDS)
        due = self._clock.monotonic() + seconds
        if self._timer is not None:
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self._clock.call_later(seconds, self._rings)

    def clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rings(self) -> None:
        self._timer = None
        self._ring()
