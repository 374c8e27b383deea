"""All objects of one resource: by key, in key order, with their recent past and their watchers.

Keys are "namespace/name" (or "name"), so a namespace is one slice of the sorted keys.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence

from apiserver.storage.paging import after
from apiserver.storage.ring import Change, Ring
from apiserver.storage.selection import Rendered, Selection
from apiserver.storage.stored import Stored
from apiserver.storage.watchers import WatcherSet

Listener = Callable[[str, Stored | None], None]
"""Of a key and what is there now."""


class Slice:
    """Part of a list: the items, where the next page starts ("" = there is none), how many keys follow."""

    __slots__ = ("items", "next_start", "remaining")

    def __init__(self, items: list[Stored], next_start: str = "", remaining: int | None = None) -> None:
        self.items = items
        self.next_start = next_start
        self.remaining = remaining


class Collection:
    def __init__(self, floor: int, listeners: Sequence[Listener] = ()) -> None:
        self.objects: dict[str, Stored] = {}
        self.ring = Ring(floor)
        self.watchers = WatcherSet()
        self._keys: list[str] = []
        self._listeners = listeners

    def fill(self, objects: dict[str, Stored]) -> None:
        self.objects = objects
        self._keys = sorted(objects)
        for listener in self._listeners:
            for key, stored in objects.items():
                listener(key, stored)

    def forget(self) -> None:
        """Everything, without a word to the watchers."""
        for listener in self._listeners:
            for key in self.objects:
                listener(key, None)
        self.objects, self._keys = {}, []

    def apply(self, key: str, current: Stored | None, revision: int, at: float) -> None:
        """Take one change in and tell the watchers."""
        previous = self.objects.get(key)
        if current is None:
            if previous is None:
                return
            del self.objects[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            self.objects[key] = current
            if previous is None:
                insort(self._keys, key)
        for listener in self._listeners:
            listener(key, current)
        change = Change(revision, key, current, previous, at)
        self.ring.append(change)
        if self.watchers:
            self.watchers.dispatch(Rendered(change))

    def count(self, namespace: str) -> int:
        """The objects of a namespace, or with "" all."""
        if not namespace:
            return len(self._keys)
        return bisect_left(self._keys, f"{namespace}0") - bisect_left(self._keys, f"{namespace}/")

    def page(
        self, selection: Selection, start: str, limit: int, undo: Mapping[str, Stored | None] | None = None
    ) -> Slice:
        """Up to `limit` (0 = all) selected objects from key `start` on, in key order.

        `undo` (see Ring.undo) shows the collection as it was.
        """
        keys, (low, high) = self._keys, self._range(selection, start, self._keys)
        objects: Mapping[str, Stored] = self.objects
        if undo:
            keys, objects = self._as_it_was(keys[low:high], selection, start, undo)
            low, high = 0, len(keys)
        if selection.matches is None:
            end = min(low + limit, high) if limit else high
            items = [objects[key] for key in keys[low:end]]
            return Slice(items, after(keys[end - 1]), high - end) if end < high else Slice(items)
        return self._filtered(keys[low:high], objects, selection, limit)

    @staticmethod
    def _filtered(keys: list[str], objects: Mapping[str, Stored], selection: Selection, limit: int) -> Slice:
        matches = selection.matches
        assert matches is not None
        items: list[Stored] = []
        last = ""
        for key in keys:
            stored = objects[key]
            if matches(stored):
                if limit and len(items) == limit:
                    return Slice(items, after(last))
                items.append(stored)
                last = key
        return Slice(items)

    @staticmethod
    def _range(selection: Selection, start: str, keys: list[str]) -> tuple[int, int]:
        """Between which of the keys those that can be selected are: one name's, one namespace's, or all."""
        namespace, name = selection.namespace, selection.name
        if name is not None and (namespace or (keys and "/" not in keys[0])):
            key = f"{namespace}/{name}" if namespace else name
            at = bisect_left(keys, key)
            return at, at + (key >= start and at < len(keys) and keys[at] == key)
        if namespace:
            low = bisect_left(keys, max(f"{namespace}/", start))
            return low, bisect_left(keys, f"{namespace}0")  # "0" follows "/"
        return bisect_left(keys, start) if start else 0, len(keys)

    def _as_it_was(
        self, keys: list[str], selection: Selection, start: str, undo: Mapping[str, Stored | None]
    ) -> tuple[list[str], Mapping[str, Stored]]:
        there = {key: then for key, then in undo.items() if then is not None}
        lost = sorted(there)
        low, high = self._range(selection, start, lost)
        merged = sorted({*lost[low:high], *(key for key in keys if key not in undo)})
        return merged, ChainMap(there, self.objects)
