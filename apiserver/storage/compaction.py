"""Keeping etcd's history short: what is older than the interval is compacted away.

Several apiservers agree through one key, as upstream's do (k8s.io/apiserver/pkg/storage/etcd3/compact.go): whoever
writes it in a round compacts to the revision seen in the round before; the others just follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from api.errors import ServiceUnavailable, Timeout
from apiserver.storage import keys
from apiserver.storage.etcd import Compacted, Etcd, Txn

log = structlog.get_logger("storage")

INTERVAL_SECONDS = 300.0


class Compactor:
    def __init__(self, etcd: Etcd, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._etcd = etcd
        self._sleep = sleep
        self._key_revision = 0  # of the key, in the last round
        self._history_from = 0  # the store's revision then: what is older is not needed after the next round

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.round()
            except (ServiceUnavailable, Timeout) as error:
                log.warning("compaction is put off", cause=error.message)
            await self._sleep(INTERVAL_SECONDS)

    async def round(self) -> None:
        value = str(self._history_from).encode()
        outcome = await self._etcd.txn(Txn({keys.COMPACTION: self._key_revision}, {keys.COMPACTION: value}))
        if not outcome.succeeded:  # another server's round, or our first
            now = outcome.found[keys.COMPACTION]
            self._key_revision = now.revision if now else 0
            self._history_from = outcome.revision
            return
        target, self._key_revision = self._history_from, outcome.revision
        self._history_from = outcome.revision
        if target:
            try:
                await self._etcd.compact(target)
            except Compacted:
                return
            log.info("compacted", revision=target)
