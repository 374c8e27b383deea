"""A running watch, as its route sees it: what there was, what happened since, what happens.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

from api.registry import Resource
from apiserver.storage.selection import Rendered, bookmark
from apiserver.storage.stored import Stored, WatchEvent, event
from apiserver.storage.watchers import Watcher

_BATCH = 512
_BOOKMARK_SECONDS = 60.0


class Watch:
    """Iterate it, or take what is ready with `batch()`; then `close()` it.

    First come the `initial` objects as ADDED events, then the `replayed` past, then what happens.
    """

    def __init__(
        self,
        res: Resource,
        watcher: Watcher,
        *,
        initial: Sequence[Stored] = (),
        initial_end: int = 0,  # the revision of the bookmark behind `initial`; 0 = none
        replayed: Iterable[WatchEvent] = (),
        revision: Callable[[], int],  # how far the cache is
        bookmarks: bool = False,
        timeout: float = 0,  # seconds; 0 = none
        view: Callable[[Sequence[Rendered]], Awaitable[list[WatchEvent]]] | None = None,  # of what is queued unread
        close: Callable[[], None] = lambda: None,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._res = res
        self._watcher = watcher
        self._initial = initial
        self._sent = 0
        self._initial_end = initial_end
        self._replayed = list(replayed)
        self._revision = revision
        self._bookmarks = bookmarks
        self._end = now + timeout if timeout else None
        self._next_bookmark = now + _BOOKMARK_SECONDS
        self._view = view
        self._close = close
        self._over = False

    @property
    def beginning(self) -> int:
        """How many events it has to begin with."""
        return len(self._initial) + len(self._replayed)

    async def __aiter__(self) -> AsyncIterator[WatchEvent]:
        try:
            while events := await self.batch():
                for item in events:
                    yield item
        finally:
            self.close()

    def close(self) -> None:
        self._over = True
        self._watcher.end()
        self._close()

    async def batch(self) -> Sequence[WatchEvent]:
        """At least one event as soon as there is one and it is this watch's turn, in order; empty when it is over."""
        if not self._over and (first := self._beginning()):
            return first
        while not self._over:
            if self._watcher.due and self._watcher.queue:
                if events := await self._take():
                    return events
                continue
            if self._watcher.ended:
                break
            now = asyncio.get_running_loop().time()
            ends = self._end is not None and now >= self._end
            if (ends or (self._bookmarks and now >= self._next_bookmark)) and self._watcher.queue:
                self._watcher.due = True  # before a bookmark comes all that it stands for
                continue
            if ends:
                self._over = True
                return [self._bookmark()] if self._bookmarks else ()
            if self._bookmarks and now >= self._next_bookmark:
                self._next_bookmark = now + _BOOKMARK_SECONDS
                return [self._bookmark()]
            moments = [self._end] if self._end is not None else []
            if self._bookmarks:
                moments.append(self._next_bookmark)
            await self._watcher.wait(min(moments) - now if moments else None)
        return ()

    async def _take(self) -> list[WatchEvent]:
        taken = self._watcher.take(_BATCH)
        if self._view is None:
            return [item for item in taken if isinstance(item, WatchEvent)]
        events = await self._view([item for item in taken if isinstance(item, Rendered)])
        events += [item for item in taken if isinstance(item, WatchEvent)]  # the error that ends it
        if events and events[-1].type == "ERROR":
            self._watcher.queue.clear()
            self._watcher.end()
        return events

    def _beginning(self) -> Sequence[WatchEvent]:
        if self._sent < len(self._initial) or self._initial_end:
            some = self._initial[self._sent : self._sent + _BATCH]
            self._sent += len(some)
            events = [event("ADDED", stored.raw, stored.revision) for stored in some]
            if self._sent >= len(self._initial):
                self._initial = ()
                self._sent = 0
                if self._initial_end:
                    events.append(self._bookmark(self._initial_end))
                    self._initial_end = 0
            return events
        replayed, self._replayed = self._replayed, []
        return replayed

    def _bookmark(self, initial_end: int = 0) -> WatchEvent:
        # The queue is empty here, so everything up to the cache's revision has been handed over.
        return bookmark(
            self._res.api_version,
            self._res.kind,
            initial_end or self._revision(),
            initial_events_end=bool(initial_end),
        )
