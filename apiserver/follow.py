"""The server's own loops: something is made to agree with the objects of some kinds, again and again.

Every server runs them, with optimistic writes: whichever comes first makes the change, the others find it made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from api.errors import ApiError
from api.registry import Resource
from apiserver.storage.store import Store

_RETRY, _RETRY_MOST = 1.0, 30.0
_SETTLE = 0.05  # changes seldom come alone

log = logging.getLogger("apiserver.follow")


async def follow(
    store: Store,
    rows: Sequence[Resource],
    look: Callable[[], Awaitable[float]],
    changed: asyncio.Event | None = None,
    *,
    settle: float = _SETTLE,
) -> None:
    """Call `look` now, `settle` seconds after each change of `rows` (and when `changed` is set), and again after the
    seconds that it returns. Until cancelled; what fails is tried again."""
    changed = changed or asyncio.Event()
    await store.wait_ready()
    async with asyncio.TaskGroup() as group:
        for row in rows:
            group.create_task(_watch(store, row, changed), name=f"following {row.qualified}")
        failures = 0
        while True:
            changed.clear()
            try:
                pause = await look()
                failures = 0
            except Exception as error:
                failures += 1
                pause = min(_RETRY * 2**failures, _RETRY_MOST)
                subject = ", ".join(row.qualified for row in rows)
                log.warning(
                    "looking at %s failed %d times, trying again: %s", subject, failures, error,
                    exc_info=not isinstance(error, ApiError),
                )  # fmt: skip
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await changed.wait()
            await asyncio.sleep(settle)


async def _watch(store: Store, row: Resource, changed: asyncio.Event) -> None:
    while True:
        try:
            watch = await store.watch(row, resource_version="0")
            try:
                while await watch.batch():
                    changed.set()
            finally:
                watch.close()
        except ApiError as error:
            log.warning("%s could not be watched, trying again: %s", row.qualified, error)
        await asyncio.sleep(_RETRY)
        changed.set()
