"""The only door from routes to the data. Every method works on one row of the registry table.

Promises
- A write is one etcd Txn that compares what the caller saw; an acknowledged write is durable, and the next read
  of this server sees it.
- Reads follow the resourceVersion contract of
  https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
- With etcd away, reads that may be stale (resourceVersion "0") go on; everything else fails within seconds with
  ServiceUnavailable (503) or Timeout (504), and heals by itself.

It never defaults, validates or authorizes: that is over before an object gets here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from api import meta
from api.errors import Expired, ServiceUnavailable, Timeout, already_exists, conflict, not_found
from api.meta import Obj
from api.registry import Registry, Resource
from api.selectors import EVERYTHING, FieldSelector, Selector
from apiserver.storage import keys, paging, versions
from apiserver.storage.cache import Cache
from apiserver.storage.collection import Slice
from apiserver.storage.compaction import Compactor
from apiserver.storage.decode import decode, encode
from apiserver.storage.etcd import Compacted, Etcd, FutureRevision, LeaseEnded, Outcome, Txn, prefix_end
from apiserver.storage.leases import Leases
from apiserver.storage.selection import Rendered, Selection, effect, restamp, select
from apiserver.storage.stored import Page, Stored, WatchEvent, status_event
from apiserver.storage.versions import Freshness, Wanted
from apiserver.storage.watchers import Watch, Watcher

__all__ = ["ClaimTaken", "Page", "Store", "Stored", "Watch", "WatchEvent"]

Change = Callable[[Obj], Obj | None]
Guard = Callable[[Obj], None]

_NO_FIELDS = FieldSelector()
_CATCH_UP_SECONDS = 3.0  # as long as upstream lets a reader wait for a revision
_HISTORIC_PAGE = 500


class ClaimTaken(Exception):
    """Another object holds `claim` (`clusterip/10.96.0.10`). Nothing was written."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"claim {claim} is taken")
        self.claim = claim


class Store:
    def __init__(
        self,
        registry: Registry,
        *,
        endpoints: Sequence[str],  # https://host:port (or http://, or host:port)
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
    ) -> None:
        self._registry = registry
        self._etcd = Etcd(endpoints, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
        self._cache = Cache(self._etcd, registry)
        self._leases = Leases(self._etcd)
        self._compactor = Compactor(self._etcd)
        self._tasks: list[asyncio.Task[None]] = []

    # ---- life

    async def start(self) -> None:
        """Begin to fill the cache, in the background: `ready` tells when it has. Never fails for a lost etcd."""
        self._tasks = [
            asyncio.create_task(self._cache.run(), name="storage cache"),
            asyncio.create_task(self._compactor.run(), name="storage compaction"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._etcd.close()

    @property
    def ready(self) -> bool:
        return self._cache.loaded.is_set() and self._cache.connected

    async def wait_ready(self) -> None:
        await self._cache.loaded.wait()

    def check(self) -> None:
        """For /readyz: raises ServiceUnavailable while the cache is not filled or etcd is away."""
        self._filled()
        if not self._cache.connected:
            raise ServiceUnavailable("etcd is not available", {"retryAfterSeconds": 1})
        for task in self._tasks:
            if task.done():
                raise ServiceUnavailable(f"{task.get_name()} has ended")

    def _filled(self) -> None:
        if not self._cache.loaded.is_set():
            raise ServiceUnavailable("storage is (re)initializing", {"retryAfterSeconds": 1})

    async def current_revision(self) -> int:
        return await self._cache.ask_revision()

    # ---- reading

    async def get(self, res: Resource, namespace: str, name: str, *, resource_version: str = "") -> Stored:
        """NotFound."""
        await self._reach(versions.for_get(resource_version))
        return self._cached(res, namespace, name)

    async def list(
        self,
        res: Resource,
        namespace: str = "",  # "" = all
        *,
        labels: Selector = EVERYTHING,
        fields: FieldSelector = _NO_FIELDS,
        resource_version: str = "",
        match: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Page:
        wanted = versions.for_list(resource_version, match, limit, bool(continue_token))
        selection = select(namespace, labels, fields)
        start, continued = "", False
        if continue_token:
            position = paging.decode(continue_token)
            start, continued = position.start, position.revision > 0
            wanted = Wanted(Freshness.EXACT, position.revision) if continued else Wanted(Freshness.LATEST)
        await self._reach(wanted)
        collection = self._cache.collection(keys.collection(res))
        revision = self._cache.revision
        if wanted.freshness is not Freshness.EXACT:
            part = collection.page(selection, start, limit)
        else:
            revision = wanted.revision
            undo = collection.ring.undo(revision)
            if undo is not None:
                part = collection.page(selection, start, limit, undo)
            else:
                try:
                    part = await self._historic(res, selection, start, limit, revision)
                except Compacted as error:
                    raise (paging.ContinueExpired(start) if continued else versions.list_too_old()) from error
        token = paging.encode(paging.Position(revision, part.next_start)) if part.next_start else ""
        return Page(part.items, revision, token, part.remaining)

    async def watch(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: Selector = EVERYTHING,
        fields: FieldSelector = _NO_FIELDS,
        resource_version: str = "",
        match: str = "",
        bookmarks: bool = False,
        send_initial: bool | None = None,
        timeout: float = 0,  # noqa: ASYNC109 - the client's timeoutSeconds: when the watch ends well
    ) -> Watch:
        """Malformed options raise. A resourceVersion that is too old comes as an ERROR event, as upstream does."""
        wanted, initial, initial_end = versions.for_watch(resource_version, match, send_initial, bookmarks)
        selection = select(namespace, labels, fields)
        if wanted.freshness is Freshness.EXACT:
            self._filled()
        else:
            await self._reach(wanted)
        # From here on nothing awaits, so no change slips between the state and the watcher.
        collection, now = self._cache.collection(keys.collection(res)), self._cache.revision
        watcher = Watcher(selection, max(now, wanted.revision))
        replayed: list[WatchEvent] = []
        if wanted.freshness is Freshness.EXACT:
            try:
                changes = map(Rendered, collection.ring.since(wanted.revision))
                replayed = [r.event(kind) for r in changes if (kind := effect(r.change, selection))]
            except Expired as error:
                replayed = [status_event(error.status())]
                watcher.end()
        if not watcher.ended:
            collection.watchers.add(watcher)
        return Watch(
            res,
            watcher,
            initial=collection.page(selection, "", 0).items if initial else (),
            initial_end=now if initial_end else 0,
            replayed=replayed,
            revision=lambda: self._cache.revision,
            bookmarks=bookmarks,
            timeout=timeout,
            close=lambda: collection.watchers.discard(watcher),
        )

    async def _reach(self, wanted: Wanted) -> None:
        self._filled()
        if wanted.freshness is Freshness.LATEST:
            await self._cache.fresh(_CATCH_UP_SECONDS)
        elif wanted.revision > self._cache.revision:
            try:
                await self._cache.wait(wanted.revision, _CATCH_UP_SECONDS)
            except Timeout as error:
                raise versions.too_large(wanted.revision, self._cache.revision) from error

    def _cached(self, res: Resource, namespace: str, name: str) -> Stored:
        found = self._cache.collection(keys.collection(res)).objects.get(keys.local(namespace, name))
        if found is None:
            raise not_found(res.group, res.plural, name)
        return found

    async def _historic(self, res: Resource, selection: Selection, start: str, limit: int, revision: int) -> Slice:
        """A page as it was, from etcd's own history. Compacted."""
        base = f"{keys.REGISTRY}{keys.collection(res)}/"
        whole = f"{base}{selection.namespace}/" if selection.namespace else base
        at, end = max(whole, base + start), prefix_end(whole)
        items: list[Stored] = []
        while True:
            try:
                answer = await self._etcd.range(at, end, revision=revision, limit=_HISTORIC_PAGE)
            except FutureRevision as error:
                raise versions.too_large(revision, self._cache.revision) from error
            for index, kv in enumerate(answer.items):
                stored = decode(self._registry, kv.key.removeprefix(base), kv.value, kv.revision)
                if not selection.has(stored):
                    continue
                if limit and len(items) == limit:
                    remaining = answer.count - index if selection.matches is None else None
                    return Slice(items, kv.key.removeprefix(base), remaining)
                items.append(stored)
            if not answer.more:
                return Slice(items)
            at = paging.after(answer.items[-1].key)

    # ---- writing

    async def create(self, res: Resource, obj: Obj) -> Stored:
        """AlreadyExists; ClaimTaken. namespace and name are the object's own."""
        self._filled()
        namespace, name = meta.namespace(obj) if res.namespaced else "", meta.name(obj)
        path, value = keys.path(res, namespace, name), encode(obj)
        claims = res.hooks.claims(obj)
        outcome = await self._put(
            res,
            Txn(
                {path: 0, **{keys.claim(c): 0 for c in claims}},
                {path: value, **{keys.claim(c): path.encode() for c in claims}},
            ),
        )
        if not outcome.succeeded:
            if outcome.found[path] is not None:
                raise already_exists(res.group, res.plural, name)
            raise ClaimTaken(_taken(outcome, claims))
        return await self._written(res, namespace, name, value, outcome.revision)

    async def update(
        self,
        res: Resource,
        namespace: str,
        name: str,
        change: Change,
        *,
        resource_version: str = "",
        uid: str = "",
    ) -> Stored:
        """change(a copy of the current object) → the new one, or None to write nothing; it may raise, and may be
        called again when another writer was faster. NotFound; Conflict when the object is not at the pinned
        resource_version or uid; ClaimTaken. A change that changes nothing writes nothing."""
        pinned = versions.parse(resource_version)

        def changed(current: Stored) -> Obj | None:
            old = current.obj()
            if uid and meta.uid(old) != uid:
                raise conflict(res.group, res.plural, name, _other_uid(uid, meta.uid(old)))
            if pinned and current.revision != pinned:
                raise conflict(res.group, res.plural, name)
            new = change(current.obj())
            if new is not None:
                new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            return None if new == old else new

        current, live = await self._newest(res, namespace, name)
        while True:
            refusal: Exception | None = None
            try:
                new = changed(current)
            except Exception as error:
                if live:
                    raise
                new, refusal = None, error
            if new is None:
                if not live:  # refused or unchanged, judged by the cache: see whether that is current
                    fresh = await self._live(res, namespace, name)
                    if fresh.revision != current.revision:
                        current, live = fresh, True
                        continue
                    if refusal is not None:
                        raise refusal
                return current
            value, path = encode(new), keys.path(res, namespace, name)
            old_claims, new_claims = res.hooks.claims(current.obj()), res.hooks.claims(new)
            outcome = await self._put(
                res,
                Txn(
                    {path: current.revision, **{keys.claim(c): 0 for c in new_claims - old_claims}},
                    {path: value, **{keys.claim(c): path.encode() for c in new_claims - old_claims}},
                    [keys.claim(c) for c in old_claims - new_claims],
                ),
            )
            if outcome.succeeded:
                return await self._written(res, namespace, name, value, outcome.revision)
            current, live = self._beaten(res, namespace, name, path, current, outcome, new_claims), True

    async def delete(self, res: Resource, namespace: str, name: str, *, guard: Guard | None = None) -> Stored:
        """Remove it now; returns its last state, at the revision of the removal. guard may raise to refuse."""
        current, live = await self._newest(res, namespace, name)
        path = keys.path(res, namespace, name)
        while True:
            try:
                if guard is not None:
                    guard(current.obj())
            except Exception:
                if live:
                    raise
                current, live = await self._live(res, namespace, name), True
                continue
            claims = res.hooks.claims(current.obj())
            outcome = await self._etcd.txn(Txn({path: current.revision}, {}, [path, *(keys.claim(c) for c in claims)]))
            if outcome.succeeded:
                await self._seen(outcome.revision)
                return restamp(current, outcome.revision)
            current, live = self._beaten(res, namespace, name, path, current, outcome, set()), True

    async def _put(self, res: Resource, txn: Txn) -> Outcome:
        if not res.ttl:
            return await self._etcd.txn(txn)
        try:
            return await self._etcd.txn(replace(txn, lease=await self._leases.of(res.ttl)))
        except LeaseEnded:
            self._leases.forget(res.ttl)
            return await self._etcd.txn(replace(txn, lease=await self._leases.of(res.ttl)))

    async def _newest(self, res: Resource, namespace: str, name: str) -> tuple[Stored, bool]:
        """The object to start a write from, and whether it is surely current: the cache may lag by a moment,
        which the Txn finds out."""
        self._filled()
        found = self._cache.collection(keys.collection(res)).objects.get(keys.local(namespace, name))
        if found is not None:
            return found, False
        return await self._live(res, namespace, name), True

    async def _live(self, res: Resource, namespace: str, name: str) -> Stored:
        """The object as the quorum has it. NotFound."""
        kv, _ = await self._etcd.get(keys.path(res, namespace, name))
        if kv is None:
            raise not_found(res.group, res.plural, name)
        return decode(self._registry, keys.local(namespace, name), kv.value, kv.revision)

    def _beaten(
        self,
        res: Resource,
        namespace: str,
        name: str,
        path: str,
        current: Stored,
        outcome: Outcome,
        claims: set[str],
    ) -> Stored:
        """After a Txn that failed: what to try again from. NotFound; ClaimTaken."""
        now = outcome.found[path]
        if now is None:
            raise not_found(res.group, res.plural, name)
        if now.revision == current.revision:  # nobody wrote the object, so it was a claim
            raise ClaimTaken(_taken(outcome, claims))
        return decode(self._registry, keys.local(namespace, name), now.value, now.revision)

    async def _written(self, res: Resource, namespace: str, name: str, value: bytes, revision: int) -> Stored:
        await self._seen(revision)
        local = keys.local(namespace, name)
        found = self._cache.collection(keys.collection(res)).objects.get(local)
        if found is not None and found.revision == revision:
            return found
        return decode(self._registry, local, value, revision)

    async def _seen(self, revision: int) -> None:
        """Wait for our own write to come back through the watch. It is durable in any case, so a watch that is
        just broken delays the answer but does not make it an error."""
        try:
            await self._cache.wait(revision, _CATCH_UP_SECONDS)
        except Timeout:
            if self._cache.connected:
                raise


def _taken(outcome: Outcome, claims: set[str]) -> str:
    return next(c for c in sorted(claims) if outcome.found.get(keys.claim(c)) is not None)


def _other_uid(wanted: str, actual: str) -> str:
    return f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
