"""What a selection makes of objects and changes. Pure.

A change that moves an object into a selection is ADDED to its watcher, one that moves it out is DELETED, as
k8s.io/apiserver/pkg/storage/cacher does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import orjson

from api.registry import Resource
from api.selectors import FieldSelector, Selector
from apiserver.storage.ring import Change
from apiserver.storage.stored import Stored, WatchEvent, event

Matches = Callable[[Stored], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """namespace "" = all. `matches` is None when every object of the namespace is selected."""

    namespace: str
    matches: Matches | None
    name: str | None = None  # the only name that can match, if the fields say so
    trigger: tuple[str, str] | None = None  # a field and the only value of it that can match

    def any_fields(self) -> Selection:
        """The same without what has to be judged by an object's contents."""
        return Selection(self.namespace, None, self.name)

    def has(self, stored: Stored) -> bool:
        if self.namespace and stored.namespace != self.namespace:
            return False
        return self.matches is None or self.matches(stored)


@lru_cache(maxsize=1024)
def select(namespace: str, labels: Selector, fields: FieldSelector) -> Selection:
    """One object for all who select the same, so that a change is judged once for all of them."""
    exact = [(r.field, r.value) for r in fields.requirements if r.equal]
    name = fields.exact("metadata.name")
    return Selection(namespace, _matcher(labels, fields), name, exact[0] if exact else None)


def _matcher(labels: Selector, fields: FieldSelector) -> Matches | None:
    if fields.is_everything:
        return None if labels.is_everything else lambda stored: labels.matches(stored.labels)
    if len(fields.requirements) == 1 and fields.requirements[0].equal:
        label, value = fields.requirements[0].field, fields.requirements[0].value
        if labels.is_everything:
            return lambda stored: stored.fields.get(label, "") == value
        return lambda stored: stored.fields.get(label, "") == value and labels.matches(stored.labels)
    return lambda stored: fields.matches(stored.fields) and labels.matches(stored.labels)


def effect(change: Change, selection: Selection) -> str | None:
    """ADDED, MODIFIED, DELETED, or None when the watcher of this selection is not to know."""
    is_in = change.current is not None and selection.has(change.current)
    was_in = change.previous is not None and selection.has(change.previous)
    if is_in:
        return "MODIFIED" if was_in else "ADDED"
    return "DELETED" if was_in else None


@dataclass(slots=True)
class Rendered:
    """A change and the events made of it, each made when first wanted and shared by all watchers."""

    change: Change
    _events: dict[str, WatchEvent] = field(default_factory=dict)
    _seen: dict[str, Rendered] = field(default_factory=dict)

    def event(self, kind: str) -> WatchEvent:
        made = self._events.get(kind)
        if made is None:
            made = self._events[kind] = event(kind, self._raw(kind), self.change.revision)
        return made

    def seen(self, res: Resource, view: Callable[[Stored], Stored | None]) -> Rendered:
        """The change as another row shows it."""
        made = self._seen.get(res.api_version)
        if made is None:
            current, previous = self.change.current, self.change.previous
            made = self._seen[res.api_version] = Rendered(
                replace(self.change, current=current and view(current), previous=previous and view(previous))
            )
        return made

    def _raw(self, kind: str) -> bytes:
        change = self.change
        if kind != "DELETED":
            assert change.current is not None, "only what exists is added or modified"
            return change.current.raw
        assert change.previous is not None, "only what existed is deleted"
        return restamp(change.previous, change.revision).raw


def restamp(stored: Stored, revision: int) -> Stored:
    """The same object at another revision: a removed object is shown at the revision of its removal."""
    obj = stored.obj()
    obj["metadata"]["resourceVersion"] = str(revision)
    return replace(stored, revision=revision, raw=orjson.dumps(obj))


def bookmark(api_version: str, kind: str, revision: int, *, initial_events_end: bool = False) -> WatchEvent:
    """A BOOKMARK: no object, only how far the watch has come."""
    metadata: dict[str, object] = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_events_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    raw = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return event("BOOKMARK", raw, revision)
