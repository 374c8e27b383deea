"""Workers that take keys from a queue and bring each one's world in line.

`reconcile(key)` returns None when done, or seconds after which to look again. What it raises is retried:

- Conflict, NotFound, AlreadyExists: our cache is behind; quietly again with back-off, the news is on its way;
- ServiceUnavailable, Timeout, TooManyRequests: nothing is wrong with the key; again within seconds, however
  long the server was away, so that everything heals when it returns;
- any other answer of the server (a quota, a broken rule): its message logged, again with growing back-off;
- anything else: logged with its traceback, counted, again with growing back-off.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from api.errors import AlreadyExists, ApiError, Conflict, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from client import log, metrics
from client.clock import Clock, RealClock
from client.workqueue import ShutDown, WorkQueue

_log = log.get("reconciler")
Reconcile = Callable[[str], Awaitable[float | None]]


class Reconciler:
    def __init__(self, name: str, reconcile: Reconcile, *, clock: Clock | None = None, workers: int = 1) -> None:
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self.queue = WorkQueue(clock or RealClock())

    async def run(self) -> None:
        """Until cancelled, or the queue is shut down and empty."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except ShutDown:
                return
            try:
                await self.process(key)
            finally:
                self.queue.done(key)

    async def process(self, key: str) -> None:
        """One attempt at one key, with what follows from its outcome."""
        try:
            again = await self._reconcile(key)
        except (Conflict, NotFound, AlreadyExists) as error:
            self._failed(key, error.reason)
            _log.debug("retry", controller=self.name, key=key, why=error.message)
            self.queue.add_rate_limited(key)
        except (ServiceUnavailable, Timeout, TooManyRequests) as error:
            self._failed(key, error.reason)
            _log.info("retry", controller=self.name, key=key, why=error.message)
            self.queue.add_after(key, random.uniform(0.5, 1.5))
        except ApiError as error:
            self._failed(key, error.reason)
            _log.warning("refused", controller=self.name, key=key, why=error.message)
            self.queue.add_rate_limited(key)
        except Exception as error:  # the loop must survive any one key
            self._failed(key, type(error).__name__)
            _log.exception("reconcile failed", controller=self.name, key=key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)

    def _failed(self, key: str, reason: str) -> None:
        metrics.count("sampan_reconcile_errors", controller=self.name, reason=reason)
