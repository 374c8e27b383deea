"""Has the cache caught up with our own writes? For loops that make objects under names the server chooses.

Pure, but for the clock. A write that the watch never shows is forgotten after half a minute.
"""

from __future__ import annotations

from api import meta
from api.meta import Obj
from client.clock import Clock
from client.store import Store

PATIENCE = 30.0


class Written:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written: dict[str, dict[str, tuple[int, float]]] = {}

    def note(self, key: str, obj: Obj) -> None:
        """For the sake of `key`, this was just created or updated."""
        revisions = self._written.setdefault(key, {})
        revisions[meta.key(obj)] = (meta.resource_version(obj), self._clock.monotonic())

    def drop(self, key: str, object_key: str) -> None:
        """It is deleted: do not wait for it."""
        revisions = self._written.get(key, {})
        revisions.pop(object_key, None)
        if not revisions:
            self._written.pop(key, None)

    def is_behind(self, key: str, store: Store) -> bool:
        """Whether the store still misses something noted for `key`."""
        for object_key, (revision, at) in list(self._written.get(key, {}).items()):
            cached = store.get(object_key)
            arrived = cached is not None and meta.resource_version(cached) >= revision
            if not arrived and self._clock.monotonic() < at + PATIENCE:
                return True
            self.drop(key, object_key)
        return False
