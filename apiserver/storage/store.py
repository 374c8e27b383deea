"""The only door from routes to the data. Every method works on one row of the registry table.

Promises
- A write is one etcd Txn that compares what the caller saw; an acknowledged write is durable, and the next read
  of this server sees it.
- Reads follow the resourceVersion contract of
  https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
- Objects go in and come out in the version of the row that is asked for, wherever they lie.
- With etcd away, reads that may be stale (resourceVersion "0") go on; everything else fails within seconds with
  ServiceUnavailable (503) or Timeout (504), and heals by itself.

It never defaults, validates or authorizes: that is over before an object gets here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from api.errors import NotFound, ServiceUnavailable, Timeout
from api.registry import Registry, Resource
from apiserver.storage import encryption, keys
from apiserver.storage.cache import Cache
from apiserver.storage.compaction import Compactor
from apiserver.storage.etcd import Etcd
from apiserver.storage.sealed import SealedEtcd, follow
from apiserver.storage.stored import Page, Stored, WatchEvent
from apiserver.storage.watch import Watch
from apiserver.storage.writes import Change, ClaimTaken, Guard, Put, Writes

__all__ = ["Change", "ClaimTaken", "Guard", "Page", "Put", "Store", "Stored", "Watch", "WatchEvent"]

log = structlog.get_logger("storage")


class Store(Writes):
    def __init__(
        self,
        registry: Registry,
        *,
        endpoints: Sequence[str],  # https://host:port (or http://, or host:port)
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        encryption_file: str = "",  # what is to be encrypted, and how
        encryption_reload: bool = False,  # whenever that file changes
    ) -> None:
        etcd = (SealedEtcd if encryption_file else Etcd)(
            endpoints, ca_file=ca_file, cert_file=cert_file, key_file=key_file
        )
        self._follow_encryption: Callable[[], Coroutine[Any, Any, None]] | None = None
        if isinstance(etcd, SealedEtcd):
            etcd.take(encryption.load(encryption_file, registry))
            if encryption_reload:
                self._follow_encryption = partial(follow, etcd, encryption_file, registry)
        super().__init__(registry, etcd, Cache(etcd, registry))
        self._compactor = Compactor(etcd)
        self._tasks: list[asyncio.Task[None]] = []
        self._encrypting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to fill the cache, in the background: `ready` tells when it has. Never fails for a lost etcd."""
        self._tasks = [
            asyncio.create_task(self._cache.run(), name="storage cache"),
            asyncio.create_task(self._compactor.run(), name="storage compaction"),
        ]
        if self._follow_encryption is not None:
            self._tasks.append(asyncio.create_task(self._follow_encryption(), name="storage encryption"))
        if isinstance(self._etcd, SealedEtcd):
            self._encrypting = asyncio.create_task(self._encrypt(self._etcd), name="storage encryption at start")

    async def stop(self) -> None:
        tasks = [*self._tasks, *([self._encrypting] if self._encrypting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        await self._etcd.close()

    @property
    def ready(self) -> bool:
        return self._cache.loaded.is_set() and self._cache.connected

    async def wait_ready(self) -> None:
        await self._cache.loaded.wait()

    def check(self) -> None:
        """For /readyz: raises ServiceUnavailable while the cache is not filled or etcd is away."""
        self.check_filled()
        if not self._cache.connected:
            raise ServiceUnavailable("etcd is not available", {"retryAfterSeconds": 1})
        for task in self._tasks:
            if task.done():
                raise ServiceUnavailable(f"{task.get_name()} has ended")

    def objects(self) -> dict[tuple[str, ...], int]:
        """How many there are, by group and plural."""
        return self._cache.sizes()

    async def _encrypt(self, etcd: SealedEtcd) -> None:
        """What lies open from before there was a key is written anew; once, and never from one key to another, which
        servers of different configurations would do for ever."""
        await self.wait_ready()
        rows = {keys.collection(row): row for row in self._registry if row.stored_as is None}
        plain, etcd.plain = etcd.plain or set(), None
        for path in sorted(plain):
            key = keys.parse(path)
            row = rows.get(key.collection) if key is not None else None
            stored = self.peek(row, *keys.split_local(key.local)) if key is not None and row is not None else None
            if row is None or stored is None:
                continue
            try:
                await self.renew(row, stored)
            except NotFound:
                continue
            except (ServiceUnavailable, Timeout) as error:
                log.warning("etcd is away: what lay open is encrypted at the next start", cause=error.message)
                return
        if plain:
            log.info("what lay open is encrypted", objects=len(plain))

    async def renew(self, res: Resource, stored: Stored) -> Stored:
        """`stored`, which nobody wants to change; written anew if it is encrypted otherwise than it would be now."""
        path = keys.path(res, stored.namespace, stored.name)
        if isinstance(self._etcd, SealedEtcd) and self._etcd.encryption.covers(path):
            return await self.update(res, stored.namespace, stored.name, lambda same: same)
        return stored

    async def current_revision(self) -> int:
        return await self._cache.ask_revision()
