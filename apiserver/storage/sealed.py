"""etcd with encrypted values: everybody who speaks through it sees plain ones.

What cannot be read comes as an empty value, which is no object, and is `unreadable`: told in the log, and an error to
whoever gets or lists it. When the configuration changes in a running server, it is looked at again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import structlog

from api.errors import ServiceUnavailable, Timeout
from api.registry import Resource
from apiserver.configfile import ConfigError
from apiserver.storage import encryption, keys
from apiserver.storage.encryption import Encryption, Unreadable
from apiserver.storage.etcd import Compacted, Etcd, KeyEvent, KeyValue, Outcome, Range, Txn

log = structlog.get_logger("storage")

_LOOK_SECONDS = 2.0


class _KeysCame(Compacted):
    def __str__(self) -> str:
        return "the encryption configuration has changed"


class SealedEtcd(Etcd):
    encryption: Encryption = encryption.NOTHING
    _again = False  # what could not be read may be readable now

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.plain: set[str] | None = set()  # keys of what lay open although it is to be encrypted; None: never mind

    def take(self, changed: Encryption) -> None:
        """Write and read by another configuration from now on."""
        self.encryption, self._again = changed, self._again or bool(self.unreadable)

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        found, revision = await super().get(key)
        return found and self._read(found), revision

    async def range(self, start: str, end: str, *, revision: int = 0, limit: int = 0) -> Range:
        answer = await super().range(start, end, revision=revision, limit=limit)
        return replace(answer, items=[self._read(kv) for kv in answer.items])

    async def txn(self, txn: Txn) -> Outcome:
        if any(map(self.encryption.covers, txn.put)):
            seal = self.encryption.seal
            txn = replace(txn, put={key: seal(key, value) for key, value in txn.put.items()})
        outcome = await super().txn(txn)
        if outcome.found:
            return replace(outcome, found={key: kv and self._read(kv) for key, kv in outcome.found.items()})
        return outcome

    async def watch(
        self, prefix: str, start: int, *, opened: Callable[[int], Awaitable[None]]
    ) -> AsyncGenerator[list[KeyEvent], None]:
        async with aclosing(super().watch(prefix, start, opened=opened)) as batches:
            async for events in batches:
                if self._again:
                    self._again = False
                    raise _KeysCame
                yield [self._read_event(event) for event in events]

    def _read(self, kv: KeyValue) -> KeyValue:
        value, stale = self._open(kv.key, kv.value)
        return kv if value is kv.value and not stale else replace(kv, value=value, stale=stale)

    def _read_event(self, event: KeyEvent) -> KeyEvent:
        if event.value is None:
            self.unreadable.pop(event.key, None)
            return event
        value, _ = self._open(event.key, event.value)
        return event if value is event.value else replace(event, value=value)

    def _open(self, key: str, value: bytes) -> tuple[bytes, bool]:
        try:
            data, stale = self.encryption.open(key, value)
            if stale and data is value and self.plain is not None:
                self.plain.add(key)
            if self.unreadable:
                self.unreadable.pop(key, None)
            return data, stale
        except Unreadable as error:
            self.unreadable[key] = str(error)
            log.error("a value in etcd cannot be decrypted", key=key, cause=str(error))
            return b"", False


async def follow(etcd: SealedEtcd, path: str, registry: Iterable[Resource]) -> None:
    """Takes each new content of the file at `path` up, if it is sound; until cancelled."""
    last = _state(path)
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if (state := _state(path)) == last:
            continue
        last = state
        try:
            etcd.take(encryption.load(path, registry))
        except ConfigError as error:
            log.error("the encryption configuration is not taken up, the former stays in force", cause=str(error))
            continue
        log.info("the encryption configuration is taken up", path=path)
        try:
            await etcd.txn(Txn({}, {keys.NUDGE: b""}))  # so that the watch has something to tell at once
        except (ServiceUnavailable, Timeout) as error:
            log.warning("etcd is away; its next word does as well", cause=error.message)


def _state(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
