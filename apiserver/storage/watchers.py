"""Watchers: bounded queues between the one cache and many slow clients.

The cache hands every change to a WatcherSet, which offers it to the watchers it can concern. One that does not
drain its queue is ended: its client comes back with the last resourceVersion it saw. Nothing here blocks the cache.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from api.registry import Resource
from apiserver.storage.selection import Rendered, Selection, bookmark
from apiserver.storage.stored import Stored, WatchEvent, event, status_event

_MOST_QUEUED = 8192
_BATCH = 512
_BOOKMARK_SECONDS = 60.0
_CROWD_SECONDS, _SHORTEST_MOMENT, _LONGEST_MOMENT = 0.0001, 0.005, 0.1


class Watcher:
    """The receiving end of one watch: selects, queues, wakes its reader.

    With `unread`, it queues changes instead of events: who reads them makes the events (see views.py).
    """

    def __init__(
        self, selection: Selection, after: int, *, unread: bool = False, most_queued: int = _MOST_QUEUED
    ) -> None:
        self.selection = selection
        self.queue: deque[WatchEvent | Rendered] = deque()
        self.ended = False
        self._after = after
        self._unread = unread
        self._most_queued = most_queued
        self._wake: asyncio.Future[None] | None = None

    def offer(self, rendered: Rendered) -> None:
        if self.ended or rendered.change.revision <= self._after:
            return
        kind = rendered.effect(self.selection)
        if kind is not None:
            self.push(rendered if self._unread else rendered.event(kind))

    def push(self, item: WatchEvent | Rendered) -> None:
        if len(self.queue) >= self._most_queued:
            self.queue.clear()
            self.end()
            return
        self.queue.append(item)
        self._wake_up()

    def end(self) -> None:
        self.ended = True
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        """Until there is something in the queue, the watcher has ended, or the time is up."""
        if self.queue or self.ended:
            return
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._wake_up) if seconds is not None else None
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()


class WatcherSet:
    """The watchers of one collection. Those bound to one value of a field are found by it, so that a thousand
    nodes that each watch their own pods cost no more than one."""

    def __init__(self) -> None:
        self._general: set[Watcher] = set()
        self._bound: dict[str, dict[str, set[Watcher]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, watcher: Watcher) -> None:
        self._group(watcher).add(watcher)
        self._count += 1

    def discard(self, watcher: Watcher) -> None:
        group = self._group(watcher)
        if watcher in group:
            group.remove(watcher)
            self._count -= 1
        if not group and watcher.selection.trigger is not None:
            label, value = watcher.selection.trigger
            del self._bound[label][value]
            if not self._bound[label]:
                del self._bound[label]

    def crowd(self, watcher: Watcher) -> int:
        """How many are offered what this one is: itself, and those bound to the same."""
        if watcher.selection.trigger is None:
            return len(self._general)
        label, value = watcher.selection.trigger
        return len(self._bound.get(label, {}).get(value, ()))

    def _group(self, watcher: Watcher) -> set[Watcher]:
        if watcher.selection.trigger is None:
            return self._general
        label, value = watcher.selection.trigger
        return self._bound.setdefault(label, {}).setdefault(value, set())

    def dispatch(self, rendered: Rendered) -> None:
        for watcher in self._general:
            watcher.offer(rendered)
        change = rendered.change
        for label, groups in self._bound.items():
            values = {s.fields.get(label, "") for s in (change.current, change.previous) if s is not None}
            for value in values:
                for watcher in groups.get(value, ()):
                    watcher.offer(rendered)

    def fail(self, status: Mapping[str, Any]) -> None:
        """Tell every watcher why, and end it."""
        last = status_event(status)
        for watcher in self:
            watcher.push(last)
            watcher.end()

    def __iter__(self) -> Iterator[Watcher]:
        groups = [self._general, *chain.from_iterable(by_value.values() for by_value in self._bound.values())]
        return chain.from_iterable(groups)


class Watch:
    """A running watch, as its route sees it. Iterate it, or take what is ready with `batch()`; then `close()` it.

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
        crowd: Callable[[], int] = lambda: 1,  # how many are told the same
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
        self._crowd = crowd
        self._phase = random.random()
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
        """At least one event as soon as there is one, in order; empty when the watch is over."""
        if not self._over and (first := self._beginning()):
            return first
        while not self._over:
            if self._watcher.queue:
                await self._pace()
                if events := await self._take(self._watcher.queue):
                    return events
                continue
            if self._watcher.ended:
                break
            now = asyncio.get_running_loop().time()
            if self._end is not None and now >= self._end:
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

    async def _pace(self) -> None:
        """In a crowd, what happens within a moment goes out in one piece: a write to a connection costs more than the
        events in it. Each has its own beat: were all told at once, everybody else would wait for that meanwhile, the
        writers of the next events first of all."""
        moment = min(self._crowd() * _CROWD_SECONDS, _LONGEST_MOMENT)
        if moment >= _SHORTEST_MOMENT and len(self._watcher.queue) < _BATCH and not self._watcher.ended:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(moment - (now + self._phase * moment) % moment)

    async def _take(self, queue: deque[WatchEvent | Rendered]) -> list[WatchEvent]:
        taken = [queue.popleft() for _ in range(min(len(queue), _BATCH))]
        if self._view is None:
            return [item for item in taken if isinstance(item, WatchEvent)]
        events = await self._view([item for item in taken if isinstance(item, Rendered)])
        events += [item for item in taken if isinstance(item, WatchEvent)]  # the error that ends it
        if events and events[-1].type == "ERROR":
            queue.clear()
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
