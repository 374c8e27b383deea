"""Watchers: bounded queues between the one cache and many slow clients.

The cache hands every change to a WatcherSet, which offers it to the watchers it can concern: each change is judged and
written once for all who select the same. One that does not drain its queue is ended: its client comes back with the
last resourceVersion it saw. Nothing here blocks the cache.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from apiserver.storage.selection import Rendered, Selection, effect
from apiserver.storage.stored import WatchEvent, status_event
from apiserver.storage.turns import Turns

_MOST_QUEUED = 8192


class Watcher:
    """The receiving end of one watch: selects, queues, and wakes its reader when that has its turn.

    With `unread`, it queues changes instead of events: who reads them makes the events (see views.py).
    """

    __slots__ = ("_after", "_asked", "_most_queued", "_turns", "_wake", "due", "ended", "queue", "selection", "unread")

    def __init__(
        self,
        selection: Selection,
        after: int,
        turns: Turns,
        *,
        unread: bool = False,
        most_queued: int = _MOST_QUEUED,
    ) -> None:
        self.selection = selection
        self.unread = unread
        self.queue: deque[WatchEvent | Rendered] = deque()
        self.due = False  # what is queued is to be read now
        self.ended = False
        self._after = after
        self._turns = turns
        self._asked = False  # for a turn that has not come
        self._most_queued = most_queued
        self._wake: asyncio.Future[None] | None = None

    def push(self, item: WatchEvent | Rendered, revision: int) -> None:
        if self.ended or revision <= self._after:
            return
        if len(self.queue) >= self._most_queued:
            self.queue.clear()
            self.end()
            return
        self.queue.append(item)
        if not self._asked:
            self._asked = True
            self._turns.ask(self._turn)

    def _turn(self) -> None:
        self._asked = False
        self.due = bool(self.queue)
        self._wake_up()

    def take(self, most: int) -> list[WatchEvent | Rendered]:
        """Up to so many of what is queued, the oldest first."""
        taken = [self.queue.popleft() for _ in range(min(len(self.queue), most))]
        self.due = bool(self.queue)
        return taken

    def end(self, last: WatchEvent | None = None) -> None:
        """Now, whoever's turn it is; `last` is the end of what there is to read."""
        if last is not None and not self.ended:
            self.queue.append(last)
        self.ended = self.due = True
        self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        """Until it is due or has ended, or the time is up."""
        if self.due or self.ended:
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


class Crowd:
    """Those who select the same."""

    __slots__ = ("_selection", "_unread", "members")

    def __init__(self, watcher: Watcher) -> None:
        self._selection, self._unread = watcher.selection, watcher.unread
        self.members: set[Watcher] = set()

    def offer(self, rendered: Rendered) -> None:
        kind = effect(rendered.change, self._selection)
        if kind is None:
            return
        item = rendered if self._unread else rendered.event(kind)
        revision = rendered.change.revision
        for watcher in self.members:
            watcher.push(item, revision)


_Crowds = dict[tuple[Selection, bool], Crowd]


class WatcherSet:
    """The watchers of one collection. Those bound to one value of a field are found by it, so that a thousand
    nodes that each watch their own pods cost no more than one."""

    def __init__(self) -> None:
        self._general: _Crowds = {}
        self._bound: dict[str, dict[str, _Crowds]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, watcher: Watcher) -> None:
        key = watcher.selection, watcher.unread
        crowds = self._crowds(watcher)
        crowds.setdefault(key, Crowd(watcher)).members.add(watcher)
        self._count += 1

    def discard(self, watcher: Watcher) -> None:
        key = watcher.selection, watcher.unread
        crowds = self._crowds(watcher)
        crowd = crowds.get(key)
        if crowd is not None and watcher in crowd.members:
            crowd.members.remove(watcher)
            self._count -= 1
            if not crowd.members:
                del crowds[key]
        if not crowds and watcher.selection.trigger is not None:
            label, value = watcher.selection.trigger
            del self._bound[label][value]
            if not self._bound[label]:
                del self._bound[label]

    def _crowds(self, watcher: Watcher) -> _Crowds:
        if watcher.selection.trigger is None:
            return self._general
        label, value = watcher.selection.trigger
        return self._bound.setdefault(label, {}).setdefault(value, {})

    def dispatch(self, rendered: Rendered) -> None:
        for crowd in self._general.values():
            crowd.offer(rendered)
        change = rendered.change
        for label, by_value in self._bound.items():
            values = {s.fields.get(label, "") for s in (change.current, change.previous) if s is not None}
            for value in values:
                for crowd in by_value.get(value, {}).values():
                    crowd.offer(rendered)

    def fail(self, status: Mapping[str, Any]) -> None:
        """Tell every watcher why, and end it."""
        last = status_event(status)
        for watcher in self:
            watcher.end(last)

    def __iter__(self) -> Iterator[Watcher]:
        bound = (crowds for by_value in self._bound.values() for crowds in by_value.values())
        for crowds in chain([self._general], bound):
            for crowd in crowds.values():
                yield from crowd.members
