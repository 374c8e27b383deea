"""A store that follows the server, and handlers that hear of each change.

Handlers are called synchronously, in order, after the store has changed: they put keys into queues and must
not block. They hear ("add", None, new), ("update", old, new), ("delete", old, None); after a relist they hear
exactly the differences. A name that was deleted and made again while we were away is a delete and an add.

`Informers` shares one informer per (resource, filter) among all that ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from api.meta import Obj, key, uid
from api.registry import Resource
from client import log, metrics
from client.clock import Clock
from client.http import ApiClient
from client.reflector import Reflector
from client.store import Indexer, Store

_log = log.get("informer")
Handler = Callable[[str, Obj | None, Obj | None], None]


class Informer:
    def __init__(
        self,
        client: ApiClient,
        res: Resource,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.res = res
        self.store = Store(indexers)
        self._handlers: list[Handler] = []
        self._synced = asyncio.Event()
        self._reflector = Reflector(client, res, self, namespace=namespace, labels=labels, fields=fields, clock=clock)

    @property
    def synced(self) -> bool:
        """The store has held a complete state at least once, and the handlers have heard of it."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def add_indexer(self, name: str, indexer: Indexer) -> None:
        self.store.add_indexer(name, indexer)

    def on_event(self, handler: Handler) -> None:
        """A handler that comes late first hears an "add" for everything there is."""
        self._handlers.append(handler)
        for obj in self.store.list():
            self._call(handler, "add", None, obj)

    async def run(self) -> None:
        """Until cancelled."""
        await self._reflector.run()

    # What the reflector tells us.

    def replace(self, items: list[Obj]) -> None:
        arrived = {key(item) for item in items}
        for gone in set(self.store.keys()) - arrived:
            self._tell("delete", self.store.remove(gone), None)
        for item in items:
            self._upsert(item)
        self._synced.set()

    def apply(self, type_: str, obj: Obj) -> None:
        if type_ == "DELETED":
            old = self.store.remove(key(obj))
            if old is not None:
                self._tell("delete", obj, None)
        else:
            self._upsert(obj)

    def _upsert(self, obj: Obj) -> None:
        old = self.store.get(key(obj))
        if old is not None and uid(old) != uid(obj):
            self._tell("delete", self.store.remove(key(obj)), None)
            old = None
        if old is None:
            self.store.put(obj)
            self._tell("add", None, obj)
        elif old["metadata"].get("resourceVersion") != obj["metadata"].get("resourceVersion"):
            self.store.put(obj)
            self._tell("update", old, obj)

    def _tell(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        for handler in self._handlers:
            self._call(handler, kind, old, new)

    def _call(self, handler: Handler, kind: str, old: Obj | None, new: Obj | None) -> None:
        try:
            handler(kind, old, new)
        except Exception:  # one handler's bug must not stop the others' view of the world
            metrics.count("sampan_handler_errors", resource=self.res.qualified)
            _log.exception("handler failed", resource=self.res.qualified, kind=kind)


class Informers:
    def __init__(self, client: ApiClient, *, clock: Clock | None = None) -> None:
        self._client, self._clock = client, clock
        self._shared: dict[tuple[str, str, str, str], Informer] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(self, res: Resource, *, namespace: str = "", labels: str = "", fields: str = "") -> Informer:
        """The shared informer; asked for after `run` began, it starts at once."""
        at = (f"{res.root}/{res.plural}", namespace, labels, fields)
        if at not in self._shared:
            self._shared[at] = Informer(
                self._client, res, namespace=namespace, labels=labels, fields=fields, clock=self._clock
            )
            if self._group is not None:
                self._group.create_task(self._shared[at].run())
        return self._shared[at]

    @property
    def synced(self) -> bool:
        return all(informer.synced for informer in self._shared.values())

    async def wait_synced(self) -> None:
        for informer in list(self._shared.values()):
            await informer.wait_synced()

    async def run(self) -> None:
        """All of them, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for informer in self._shared.values():
                    group.create_task(informer.run())
                group.create_task(asyncio.Event().wait())  # stay open for those asked for later
        finally:
            self._group = None
