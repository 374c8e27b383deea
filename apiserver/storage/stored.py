"""What storage hands out: object revisions, pages of them, watch events. All are shared and read-only.

The bytes of an object revision are made once, when the cache learns of it, and are what GET, LIST and every
watcher send. Nothing here keeps a decoded object.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from api.meta import Obj
from api.registry import Resource


@dataclass(slots=True, eq=False)
class Stored:
    """One revision of one object.

    raw is its JSON as clients see it, metadata.resourceVersion included. labels and fields are what selectors
    match, so that no selection needs to decode.
    """

    namespace: str  # "" when cluster scoped
    name: str
    revision: int
    raw: bytes
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    outdated: bool = False  # it lies in another version than the one that is written now
    views: tuple[tuple[Resource, Stored], ...] | None = None  # this revision as other rows show it; see views.py

    def obj(self) -> Obj:
        """A fresh decode; the caller owns it."""
        decoded: Obj = orjson.loads(self.raw)
        return decoded


@dataclass(slots=True, eq=False)
class Page:
    """One answer to a LIST.

    continue_token is "" on the last page. remaining counts what follows, and is None when nothing does or
    when a selector makes the count unknown.
    """

    items: list[Stored]
    revision: int
    continue_token: str = ""
    remaining: int | None = None


@dataclass(slots=True, eq=False)
class WatchEvent:
    """One event as it goes out. type is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR (raw is then a Status)."""

    type: str
    raw: bytes
    revision: int
    line: bytes  # {"type":…,"object":…}\n

    def obj(self) -> Obj:
        decoded: Obj = orjson.loads(self.raw)
        return decoded


def event(kind: str, raw: bytes, revision: int) -> WatchEvent:
    return WatchEvent(kind, raw, revision, b'{"type":"%s","object":%s}\n' % (kind.encode(), raw))


def status_event(status: Mapping[str, Any]) -> WatchEvent:
    """The ERROR event that ends a watch with a metav1.Status."""
    return event("ERROR", orjson.dumps(dict(status)), 0)
