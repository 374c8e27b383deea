"""A queue of keys for workers that reconcile. The contract is client-go's:

- de-duplicated: a key waits at most once, however often it is added;
- exclusive: a key handed out by `get` is not handed out again until `done`;
- nothing is lost: a key added while it is being worked on is queued again by `done`;
- delayed adds keep the earliest time asked for;
- `add_rate_limited` delays by base * 2^failures, at most `cap`, until `forget`.

Keys are hashable and usually `namespace/name`. Not thread-safe: one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque

from client.clock import Clock, RealClock, Timer


class ShutDown(Exception):
    """The queue was shut down and is empty."""


class WorkQueue:
    def __init__(self, clock: Clock | None = None, base: float = 0.005, cap: float = 1000) -> None:
        self._clock = clock or RealClock()
        self._base, self._cap = base, cap
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()  # wants work: in _ready, or waiting for its worker's done()
        self._processing: set[str] = set()
        self._waiting: dict[str, tuple[float, Timer]] = {}
        self._failures: dict[str, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._shut = False

    def __len__(self) -> int:
        """Keys ready to be handed out."""
        return len(self._ready)

    def add(self, key: str) -> None:
        if self._shut or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: str, seconds: float) -> None:
        if self._shut:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        waiting = self._waiting.get(key)
        if waiting is not None:
            if waiting[0] <= due:
                return
            waiting[1].cancel()
        self._waiting[key] = (due, self._clock.call_later(seconds, lambda: self._due(key)))

    def _due(self, key: str) -> None:
        self._waiting.pop(key, None)
        self.add(key)

    def add_rate_limited(self, key: str) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._base * 2 ** min(failures, 60), self._cap))

    def forget(self, key: str) -> None:
        """The key succeeded: its next failure starts from the shortest delay."""
        self._failures.pop(key, None)

    def retries(self, key: str) -> int:
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """The next key, now this worker's until `done`. ShutDown when there will be no more."""
        while not self._ready:
            if self._shut:
                raise ShutDown
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._ready:  # woken and cancelled at once: the wake belongs to someone else
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def shutdown(self) -> None:
        """Take no more; workers get what is ready, then ShutDown."""
        self._shut = True
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        while self._getters:
            self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
