"""How long those who are refused are told to stay away (pure): longer while many are, up to half a minute.

Refusing is the last resort of queues, so it takes few to be told more. As in k8s.io/apiserver/pkg/util/flowcontrol
dropped_requests_tracker.go: twice as long when there were three refusals for each second of it, a second less when
there was not one.
"""

from __future__ import annotations

from collections import deque

_LONGEST = 32


class Backoff:
    """`seconds` is what to tell."""

    __slots__ = ("_history", "_raised", "seconds")

    def __init__(self) -> None:
        self.seconds = 1
        self._history: deque[list[int]] = deque()  # [second, refusals], those that may still count
        self._raised: int | None = None

    def refuse(self, now: float) -> int:
        """One more; what to tell him."""
        second = int(now)
        if self._history and self._history[-1][0] == second:
            self._history[-1][1] += 1
            return self.seconds
        while self._history and second - self._history[0][0] > _LONGEST:
            self._history.popleft()
        lately = sum(number for when, number in self._history if second - when <= self.seconds)
        if lately >= 3 * self.seconds and (self._raised is None or second - self._raised >= self.seconds):
            self.seconds = min(2 * self.seconds, _LONGEST)
            self._raised = second
        elif lately < self.seconds and self.seconds > 1:
            self.seconds -= 1
        self._history.append([second, 1])
        return self.seconds
