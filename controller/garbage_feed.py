"""News of every object of every kind for the garbage collector, at the price of its metadata.

Kinds that another loop follows anyway are heard through that informer; the others are followed here by a
reflector that keeps nothing but UIDs. Events are left out: they own nothing and expire by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from api import meta
from api.builtin import BUILTIN, EVENTS
from api.meta import Obj
from api.registry import Resource
from client.informer import Informer
from client.reflector import Reflector
from controller.context import Context

Changed = Callable[[Resource, Obj], None]
Gone = Callable[[str], None]


class Feed(Protocol):
    async def run(self) -> None: ...

    async def wait_synced(self) -> None: ...


def follow(context: Context, changed: Changed, gone: Gone) -> list[Feed]:
    """One feed per kind. Call it when all other loops have named the informers they need."""
    feeds: list[Feed] = []
    for resource in BUILTIN:
        if resource.qualified == EVENTS.qualified or not {"list", "watch", "delete"} <= set(resource.verbs):
            continue
        if resource.qualified in context.followed:
            feeds.append(_Shared(context.informer(resource), changed, gone))
        else:
            feeds.append(_Own(context, resource, changed, gone))
    return feeds


class _Shared:
    def __init__(self, informer: Informer, changed: Changed, gone: Gone) -> None:
        self._informer = informer

        def on_event(_: str, old: Obj | None, new: Obj | None) -> None:
            if new is not None:
                changed(informer.res, new)
            elif old is not None:
                gone(meta.uid(old))

        informer.on_event(on_event)

    async def run(self) -> None:
        return  # whoever shares it runs it

    async def wait_synced(self) -> None:
        await self._informer.wait_synced()


class _Own:
    def __init__(self, context: Context, resource: Resource, changed: Changed, gone: Gone) -> None:
        self._resource, self._changed, self._gone = resource, changed, gone
        self._reflector = Reflector(context.client, resource, self, clock=context.clock)
        self._uids: dict[str, str] = {}
        self._synced = asyncio.Event()

    async def run(self) -> None:
        await self._reflector.run()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def replace(self, items: list[Obj]) -> None:
        arrived = {meta.key(item): meta.uid(item) for item in items}
        for key, uid in list(self._uids.items()):
            if arrived.get(key) != uid:
                del self._uids[key]
                self._gone(uid)
        for item in items:
            self.apply("ADDED", item)
        self._synced.set()

    def apply(self, type_: str, obj: Obj) -> None:
        key, uid = meta.key(obj), meta.uid(obj)
        before = self._uids.get(key)
        if type_ == "DELETED":
            if self._uids.pop(key, None) is not None:
                self._gone(uid)
            return
        if before is not None and before != uid:
            self._gone(before)
        self._uids[key] = uid
        self._changed(self._resource, obj)
