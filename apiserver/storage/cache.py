"""Every object in memory, kept current by one etcd watch over the whole registry.

Promises
- After `wait(revision)` the cache shows everything up to `revision`; `fresh()` waits for everything acknowledged
  before it was called, by whichever server.
- Watchers meet every change once and in revision order, also over a lost etcd: the watch goes on where it broke.
- Where history is gone (compacted while we were away), the cache reads everything anew and tells watchers the
  difference; new watches from before that get 410. Only a store that went back in time ends the watches, with 410.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from time import monotonic
from typing import NamedTuple

import structlog

from api.errors import ServiceUnavailable, Timeout
from api.registry import Registry
from apiserver.storage import keys
from apiserver.storage.collection import Collection, Listener
from apiserver.storage.decode import Draft, decode
from apiserver.storage.etcd import Compacted, Etcd, FutureRevision, KeyEvent, Txn, prefix_end
from apiserver.storage.paging import after
from apiserver.storage.stored import Stored
from apiserver.storage.versions import too_old

log = structlog.get_logger("storage")

_PAGE = 1000
_HISTORY = 1000  # revisions read back at start, so that clients of the process before us need not relist
_NUDGE_SECONDS = 0.1
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)


class _BackInTime(Exception):
    """The store is at a lower revision than what it told before: restored from a backup."""


class Loaded(NamedTuple):
    revision: int
    objects: dict[str, dict[str, Stored]]  # collection → local key → object


class Cache:
    def __init__(self, etcd: Etcd, registry: Registry, *, clock: Callable[[], float] = monotonic) -> None:
        self.revision = 0
        self.connected = False
        self.loaded = asyncio.Event()
        self._etcd = etcd
        self._registry = registry
        self._clock = clock
        self._collections: dict[str, Collection] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._floor = 0
        self._drafts: dict[str, Draft] = {}  # writes of ours under way, by etcd key
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._askers: list[asyncio.Future[int]] = []
        self._asking: asyncio.Task[None] | None = None
        self._nudging: asyncio.Task[None] | None = None
        self._announcing: asyncio.Task[None] | None = None

    def collection(self, name: str) -> Collection:
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self._floor, self._listeners.get(name, ()))
        return found

    def listen(self, name: str, listener: Listener) -> None:
        """`listener` is told of all that is in the collection, and of each change right as it is taken in. To be
        called before `run`."""
        self._listeners.setdefault(name, []).append(listener)

    def sizes(self) -> dict[tuple[str, ...], int]:
        """Objects by group and plural."""
        split = {name: name.split("/") for name in self._collections}
        return {
            ("" if group == "core" else group, plural): len(self._collections[name].objects)
            for name, (group, plural) in split.items()
        }

    # ---- staying current

    async def run(self) -> None:
        """Until cancelled."""
        behind = True  # no state, or a gap that only a full read can close
        failures = 0
        try:
            while True:
                try:
                    if behind:
                        await self._load()
                        behind = False
                    failures = 0
                    await self._follow()
                except (Compacted, FutureRevision) as gap:
                    log.warning("history is compacted, reading everything", cause=str(gap))
                    behind = True
                except _BackInTime:
                    log.error("the store went back in time, starting over", revision=self.revision)
                    self._forget()
                    behind = True
                except (ServiceUnavailable, Timeout) as error:
                    log.warning("etcd is away, trying again", cause=error.message, failures=failures)
                    failures += 1
                    await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS)) - 1])
                except Exception:
                    # Without this loop the server is blind, so it goes on, from a full read.
                    failures += 1
                    log.exception("the cache stumbled, reading everything", failures=failures)
                    behind = True
                    await asyncio.sleep(_RETRY_SECONDS[-1])
                finally:
                    self.connected = False
        finally:
            for task in (self._asking, self._nudging, self._announcing):
                if task is not None:
                    task.cancel()

    async def _follow(self) -> None:
        async for events in self._etcd.watch(keys.REGISTRY, self.revision + 1, opened=self._opened):
            self._apply(events)

    async def _opened(self, revision: int) -> None:
        # A member that lags behind also shows an old revision; the quorum tells the two apart.
        if revision < self.revision and await self._etcd.revision() < self.revision:
            raise _BackInTime
        self.connected = True

    def _apply(self, events: list[KeyEvent]) -> None:
        now = self._clock()
        for event in events:
            key = keys.parse(event.key)
            if key is not None:
                current = None if event.value is None else self._read_event(key.local, event)
                self.collection(key.collection).apply(key.local, current, event.revision, now)
        self._advance(events[-1].revision)

    @contextmanager
    def expecting(self, key: str, draft: Draft) -> Iterator[None]:
        """Meanwhile `draft` is being written at the etcd key: when just that is what comes back, nobody reads it."""
        self._drafts[key] = draft
        try:
            yield
        finally:
            if self._drafts.get(key) is draft:
                del self._drafts[key]

    def _read_event(self, local: str, event: KeyEvent) -> Stored | None:
        assert event.value is not None, "a removal has nothing to read"
        draft = self._drafts.get(event.key)
        if draft is not None and draft.value == event.value:
            return draft.stored(event.revision)
        return self._decode(local, event.value, event.revision)

    def _decode(self, local: str, value: bytes, revision: int) -> Stored | None:
        try:
            return decode(self._registry, local, value, revision)
        except ValueError as error:
            log.error("an unreadable value in etcd is left out", key=local, revision=revision, cause=str(error))
            return None

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        while self._waiting and self._waiting[0][0] <= self.revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    # ---- reading everything

    async def _load(self) -> None:
        latest = await self._etcd.revision()
        if self.loaded.is_set() or self.revision:
            self._reconcile(await self._read(latest))
            return
        try:
            state = await self._read(max(1, latest - _HISTORY))
        except Compacted:
            state = await self._read(await self._etcd.oldest_revision(keys.REGISTRY))
        self._floor = state.revision
        self._collections.clear()  # empty ones, of those who asked before there was anything
        for name, objects in state.objects.items():
            self.collection(name).fill(objects)
        self._advance(state.revision)
        if not self.loaded.is_set():
            self._announcing = asyncio.create_task(self._announce(latest))

    async def _announce(self, revision: int) -> None:
        """Ready means: as new as the store was when we started."""
        while True:
            try:
                await self.wait(revision, 10.0, nudge=True)
            except Timeout:
                log.warning("still catching up with etcd", at=self.revision, wanted=revision)
            else:
                self.loaded.set()
                return

    async def _read(self, revision: int) -> Loaded:
        objects: dict[str, dict[str, Stored]] = {}
        start, end = keys.REGISTRY, prefix_end(keys.REGISTRY)
        while True:
            answer = await self._etcd.range(start, end, revision=revision, limit=_PAGE)
            for kv in answer.items:
                key = keys.parse(kv.key)
                stored = self._decode(key.local, kv.value, kv.revision) if key else None
                if key is not None and stored is not None:
                    objects.setdefault(key.collection, {})[key.local] = stored
            if not answer.more:
                return Loaded(revision, objects)
            start = after(answer.items[-1].key)

    def _reconcile(self, state: Loaded) -> None:
        """Move from what we knew to `state`. Watchers get the difference, in the order of revisions."""
        now = self._clock()
        self._floor = state.revision
        for name in {*self._collections, *state.objects}:
            collection, there = self.collection(name), state.objects.get(name, {})
            changes: list[tuple[int, str, Stored | None]] = []
            for key, old in collection.objects.items():
                new = there.get(key)
                if new is None:
                    changes.append((state.revision, key, None))
                elif new.revision != old.revision and _uid(new) != _uid(old):  # another object of that name
                    changes.append((new.revision, key, None))
            changes += [
                (stored.revision, key, stored)
                for key, stored in there.items()
                if key not in collection.objects or collection.objects[key].revision != stored.revision
            ]
            changes.sort(key=lambda change: (change[0], change[2] is not None))
            for revision, key, current in changes:
                collection.apply(key, current, revision, now)
            collection.ring.restart(state.revision)
        self._advance(state.revision)

    def _forget(self) -> None:
        gone = too_old(self.revision, 0).status()
        for collection in self._collections.values():
            collection.watchers.fail(gone)
            collection.forget()
        self._collections.clear()
        self.revision = 0

    # ---- waiting

    async def wait(self, revision: int, seconds: float, *, nudge: bool = False) -> None:
        """Until the cache has reached `revision`. Timeout. `nudge` when no key of ours may have that revision."""
        if revision <= self.revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._order), future))
        timer = asyncio.get_running_loop().call_later(_NUDGE_SECONDS, self._nudge) if nudge else None
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError as error:
            self._waiting = [waiting for waiting in self._waiting if not waiting[2].done()]
            heapq.heapify(self._waiting)
            raise Timeout(
                f"Timeout: the cache is at revision {self.revision} and did not reach {revision} in time",
                {"retryAfterSeconds": 1},
            ) from error
        finally:
            if timer is not None:
                timer.cancel()

    def _nudge(self) -> None:
        """Somebody waits for a revision that no key of ours has: another user of this etcd wrote it. A write of
        our own moves the watch past it."""
        if self.connected and (self._nudging is None or self._nudging.done()):
            self._nudging = asyncio.create_task(self._write_nudge())

    async def _write_nudge(self) -> None:
        try:
            await self._etcd.txn(Txn({}, {keys.NUDGE: b""}))
        except (ServiceUnavailable, Timeout) as error:
            log.warning("etcd is away, the cache cannot catch up", cause=error.message)

    async def fresh(self, seconds: float) -> None:
        """Until the cache shows every write acknowledged before this call. ServiceUnavailable; Timeout."""
        await self.wait(await self.ask_revision(), seconds, nudge=True)

    async def ask_revision(self) -> int:
        """The store's revision, asked after this call began; callers of one moment share one question."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._askers.append(answer)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        """A question under way may have been answered before a caller's last write: who comes meanwhile waits for the
        next one."""
        while self._askers:
            await asyncio.sleep(0)  # who comes in the same turn of the loop comes along
            askers, self._askers = self._askers, []
            try:
                revision = await self._etcd.revision()
            except (ServiceUnavailable, Timeout) as error:
                for asker in askers:
                    if not asker.done():
                        asker.set_exception(type(error)(error.message, error.details))
            except BaseException:
                for asker in askers:
                    asker.cancel()
                raise
            else:
                for asker in askers:
                    if not asker.done():
                        asker.set_result(revision)


def _uid(stored: Stored) -> str:
    return str(stored.obj()["metadata"].get("uid", ""))
