"""Objects in the version a client asked for, where that is not the one they lie in.

A row with `stored_as`, and every custom row, is read through a *view* of each object revision: made once, when first
wanted, and kept with the revision. Rows that are stored as they are served never come here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from api.errors import ApiError
from api.meta import Obj
from api.registry import Resource
from apiserver.storage.decode import shaped
from apiserver.storage.keys import lies_as
from apiserver.storage.selection import Rendered, Selection, effect
from apiserver.storage.stored import Stored, WatchEvent, status_event

Convert = Callable[[list[Obj], Resource, Resource], Awaitable[list[Obj]]]
"""(objects, source, target) → the same objects in target's version, in the same order. An object lies in the version
its own apiVersion names, which is older than source's when the storage version has changed since. May edit what it is
given; raises ApiError."""

_MOST_AT_ONCE = 500


def is_viewed(res: Resource) -> bool:
    return res.stored_as is not None or res.custom is not None


async def by_hooks(objs: list[Obj], source: Resource, target: Resource) -> list[Obj]:
    """The conversions of the built-in kinds."""
    convert = target.hooks.from_stored if target.stored_as is not None else source.hooks.to_stored
    return [{**convert(obj), "apiVersion": target.api_version, "kind": target.kind} for obj in objs]


class Views:
    """`convert` is for custom rows; whoever knows their definitions sets it."""

    def __init__(self) -> None:
        self.convert: Convert = by_hooks
        self._under_way: dict[tuple[str, str], asyncio.Lock] = {}

    async def of(self, res: Resource, items: Sequence[Stored]) -> Sequence[Stored]:
        """`items` as `res` shows them."""
        if not is_viewed(res):
            return items
        if any(_made(stored, res) is None for stored in items):
            # One at a time, so that whoever comes second finds what the first has made.
            async with self._under_way.setdefault((res.api_version, res.plural), asyncio.Lock()):
                await self._make(res, [stored for stored in items if _made(stored, res) is None])
        return [made for stored in items if (made := _made(stored, res)) is not None]

    async def one(self, res: Resource, stored: Stored) -> Stored:
        return (await self.of(res, (stored,)))[0]

    async def _make(self, res: Resource, missing: list[Stored]) -> None:
        for at in range(0, len(missing), _MOST_AT_ONCE):
            some = missing[at : at + _MOST_AT_ONCE]
            objs = [stored.obj() for stored in some]
            versions = [obj["apiVersion"] for obj in objs]
            converted = await self._converter(res)(objs, lies_as(res), res)
            for stored, version_in, obj in zip(some, versions, converted, strict=True):
                view = shaped(res, stored.namespace, stored.name, stored.revision, obj)
                view.outdated = stored.outdated or version_in != lies_as(res).api_version
                if view.raw == stored.raw:
                    view.raw = stored.raw
                others = [made for made in stored.views or () if made[0].api_version != res.api_version]
                stored.views = (*others, (res, view))

    def _converter(self, res: Resource) -> Convert:
        return by_hooks if res.custom is None else self.convert

    async def to_stored(self, res: Resource, obj: Obj) -> Obj:
        """What a client sent, as it is to lie."""
        if res.stored_as is None:
            return obj
        revision = obj["metadata"].get("resourceVersion")
        (converted,) = await self._converter(res)([obj], res, res.stored_as)
        if revision is not None:
            converted["metadata"]["resourceVersion"] = revision
        return converted

    async def events(self, res: Resource, selection: Selection, changes: Sequence[Rendered]) -> list[WatchEvent]:
        """What the watcher of this selection is told of these changes. A failed conversion ends the watch."""
        try:
            await self.of(res, [s for r in changes for s in (r.change.current, r.change.previous) if s is not None])
        except ApiError as error:
            return [status_event(error.status())]
        seen = (r.seen(res, lambda stored: _made(stored, res)) for r in changes)
        return [r.event(kind) for r in seen if (kind := effect(r.change, selection))]


def _made(stored: Stored, res: Resource) -> Stored | None:
    for row, view in stored.views or ():
        if row is res:
            return view
    return None
