"""News of every object of every kind for the garbage collector, at the price of its metadata.

Kinds that another loop follows anyway are heard through that informer. All others that are served and can be
listed, watched and deleted, custom ones too, are followed here by a reflector that asks for metadata alone and
keeps nothing but UIDs. Events are left out: they own nothing and expire by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from api import meta
from api.builtin import BUILTIN
from api.meta import Obj
from api.registry import Resource
from client import log
from client.informer import Informer
from client.reflector import Reflector
from controller.context import Context

_log = log.get("garbage-feed")
_PATIENCE = 30.0  # for kinds that cannot be listed: a conversion webhook that is away must not stop everything
_IGNORED = frozenset(("events", "events.events.k8s.io"))
_DEFINITIONS = frozenset(("customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"))

Changed = Callable[[Resource, Obj], None]
Gone = Callable[[str], None]


class Feeds:
    """All feeds. Make it when all other loops have named the informers they need."""

    def __init__(self, context: Context, changed: Changed, gone: Gone) -> None:
        self._context, self._changed, self._gone = context, changed, gone
        self._served = context.discovery.changes()
        self._shared = [context.informer(row) for row in BUILTIN if row.qualified in context.followed]
        self._own: dict[str, tuple[_Feed, asyncio.Task[None]]] = {}
        self._following = asyncio.Event()
        for informer in self._shared:
            self._listen(informer)

    async def run(self) -> None:
        """Until cancelled."""
        await self._context.discovery.wait_known()
        async with asyncio.TaskGroup() as group:
            while True:
                self._served.clear()
                self._follow(group)
                self._following.set()
                await self._served.wait()

    async def wait_synced(self) -> None:
        """Until all that is served now has been listed, or will not be."""
        await self._following.wait()
        for informer in self._shared:
            await informer.wait_synced()
        waiting = [asyncio.ensure_future(feed.synced.wait()) for feed, _ in self._own.values()]
        timer = self._context.clock.call_later(_PATIENCE, lambda: [w.cancel() for w in waiting])
        await asyncio.gather(*waiting, return_exceptions=True)
        timer.cancel()
        late = [feed.resource.qualified for feed, _ in self._own.values() if not feed.synced.is_set()]
        if late:
            _log.info("collecting without some kinds", late=late)

    def _follow(self, group: asyncio.TaskGroup) -> None:
        wanted = {row.qualified: row for row in self._context.discovery.rows if _can_be_followed(row)}
        for informer in self._shared:
            wanted.pop(informer.res.qualified, None)
        for name, (feed, task) in list(self._own.items()):
            row = wanted.get(name)
            if row is not None and row.version == feed.resource.version:
                continue
            task.cancel()
            del self._own[name]
            if row is None:
                feed.replace([])  # the kind is gone, and with it all its objects
            else:
                self._begin(group, row, feed.uids)  # another version of the same objects
        for name, row in wanted.items():
            if name not in self._own:
                self._begin(group, row, {})

    def _begin(self, group: asyncio.TaskGroup, row: Resource, uids: dict[str, str]) -> None:
        feed = _Feed(self._context, row, self._changed, self._gone, uids)
        self._own[row.qualified] = feed, group.create_task(feed.run())

    def _listen(self, informer: Informer) -> None:
        def on_event(_: str, old: Obj | None, new: Obj | None) -> None:
            if new is not None:
                self._changed(informer.res, new)
            elif old is not None:
                self._gone(meta.uid(old))

        informer.on_event(on_event)


def _can_be_followed(row: Resource) -> bool:
    return row.qualified not in _IGNORED and {"list", "watch", "delete"} <= set(row.verbs)


class _Feed:
    def __init__(
        self, context: Context, resource: Resource, changed: Changed, gone: Gone, uids: dict[str, str]
    ) -> None:
        self.resource, self._changed, self._gone = resource, changed, gone
        self._reflector = Reflector(context.client, resource, self, clock=context.clock, metadata_only=True)
        self._tell = context.discovery.poke if resource.qualified in _DEFINITIONS else None
        self.uids = uids
        self.synced = asyncio.Event()

    async def run(self) -> None:
        await self._reflector.run()

    def replace(self, items: list[Obj]) -> None:
        arrived = {meta.key(item): meta.uid(item) for item in items}
        for key, uid in list(self.uids.items()):
            if arrived.get(key) != uid:
                del self.uids[key]
                self._gone(uid)
        for item in items:
            self.apply("ADDED", item)
        self.synced.set()

    def apply(self, type_: str, obj: Obj) -> None:
        if self._tell is not None:
            self._tell()
        key, uid = meta.key(obj), meta.uid(obj)
        before = self.uids.get(key)
        if type_ == "DELETED":
            if self.uids.pop(key, None) is not None:
                self._gone(uid)
            return
        if before is not None and before != uid:
            self._gone(before)
        self.uids[key] = uid
        self._changed(self.resource, obj)
