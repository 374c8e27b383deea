"""Writing: one etcd Txn that compares what the caller saw; the next read of this server sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import perf_counter

from api import meta
from api.errors import Timeout, already_exists, conflict, not_found
from api.meta import Obj
from api.registry import Hooks, Registry, Resource
from apiserver.histogram import SECONDS, Histogram
from apiserver.storage import keys, versions
from apiserver.storage.cache import Cache
from apiserver.storage.decode import Draft, decode
from apiserver.storage.etcd import Etcd, LeaseEnded, Outcome, Txn
from apiserver.storage.leases import Leases
from apiserver.storage.reads import CATCH_UP_SECONDS, Reads
from apiserver.storage.selection import restamp
from apiserver.storage.stored import Stored

Change = Callable[[Obj], Obj | None]
Guard = Callable[[Obj], None]
Put = Callable[[str, Resource, Txn], Awaitable[Outcome]]
"""Sends a Txn: what it does, to objects of which row."""
_NO_CLAIMS = Hooks().claims  # most kinds: their objects need not be read to know it


class ClaimTaken(Exception):
    """Another object holds `claim` (`clusterip/10.96.0.10`). Nothing was written."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"claim {claim} is taken")
        self.claim = claim


class Writes(Reads):
    def __init__(self, registry: Registry, etcd: Etcd, cache: Cache) -> None:
        super().__init__(registry, etcd, cache)
        self._leases = Leases(etcd)
        self._seconds = Histogram(SECONDS)

    def counts_into(self, seconds: Histogram) -> None:
        """Where the latency of writes is to be counted: by operation, group, resource."""
        self._seconds = seconds

    async def create(self, res: Resource, obj: Obj, *, put: Put | None = None) -> Stored:
        """AlreadyExists; ClaimTaken. namespace and name are the object's own. `put` writes it, when it is not to be
        written alone."""
        self.check_filled()
        namespace, name = meta.namespace(obj) if res.namespaced else "", meta.name(obj)
        lying, claims_of = await self.views.to_stored(res, obj), keys.lies_as(res).hooks.claims
        path, draft = keys.path(res, namespace, name), Draft(self._registry, keys.local(namespace, name), lying)
        claims = claims_of(lying)
        txn = Txn(
            {path: 0, **{keys.claim(c): 0 for c in claims}},
            {path: draft.value, **{keys.claim(c): path.encode() for c in claims}},
        )
        with self._cache.expecting(path, draft):
            outcome = await (put or self.put)("create", res, txn)
            if outcome.succeeded:
                return await self._written(res, namespace, name, draft, outcome.revision)
        if outcome.found[path] is not None:
            raise already_exists(res.group, res.plural, name)
        raise ClaimTaken(_taken(outcome, claims))

    async def update(
        self,
        res: Resource,
        namespace: str,
        name: str,
        change: Change,
        *,
        resource_version: str = "",
        uid: str = "",
        put: Put | None = None,
    ) -> Stored:
        """change(a copy of the current object) → the new one, or None to write nothing; it may raise, and may be
        called again when another writer was faster. NotFound; Conflict when the object is not at the pinned
        resource_version or uid; ClaimTaken. A change that changes nothing writes nothing."""
        pinned, claims_of = versions.parse(resource_version), keys.lies_as(res).hooks.claims

        def changed(current: Stored, view: Stored) -> Obj | None:
            old = view.obj()
            if uid and meta.uid(old) != uid:
                raise conflict(res.group, res.plural, name, _other_uid(uid, meta.uid(old)))
            if pinned and current.revision != pinned:
                raise conflict(res.group, res.plural, name)
            new = change(view.obj())
            if new is not None:
                new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            return None if new == old and not view.outdated else new

        current, live = await self._newest(res, namespace, name)
        while True:
            refusal: Exception | None = None
            view = await self.views.one(res, current)
            try:
                new = changed(current, view)
            except Exception as error:
                if live:
                    raise
                new, refusal = None, error
            if new is None:
                if not live:  # refused or unchanged, judged by the cache: see whether that is current
                    fresh = await self._live(res, namespace, name)
                    if fresh.revision != current.revision or fresh.outdated:
                        current, live = fresh, True
                        continue
                    if refusal is not None:
                        raise refusal
                return view
            lying = await self.views.to_stored(res, new)
            path, draft = keys.path(res, namespace, name), Draft(self._registry, keys.local(namespace, name), lying)
            new_claims = claims_of(lying)
            old_claims = claims_of(current.obj()) if claims_of is not _NO_CLAIMS else set()
            txn = Txn(
                {path: current.revision, **{keys.claim(c): 0 for c in new_claims - old_claims}},
                {path: draft.value, **{keys.claim(c): path.encode() for c in new_claims - old_claims}},
                [keys.claim(c) for c in old_claims - new_claims],
            )
            with self._cache.expecting(path, draft):
                outcome = await (put or self.put)("update", res, txn)
                if outcome.succeeded:
                    return await self._written(res, namespace, name, draft, outcome.revision)
            current, live = self._beaten(res, namespace, name, path, current, outcome, new_claims), True

    async def delete(self, res: Resource, namespace: str, name: str, *, guard: Guard | None = None) -> Stored:
        """Remove it now; returns its last state, at the revision of the removal. guard may raise to refuse."""
        current, live = await self._newest(res, namespace, name)
        path = keys.path(res, namespace, name)
        while True:
            view = await self.views.one(res, current)
            try:
                if guard is not None:
                    guard(view.obj())
            except Exception:
                if live:
                    raise
                current, live = await self._live(res, namespace, name), True
                continue
            claims = keys.lies_as(res).hooks.claims(current.obj())
            txn = Txn({path: current.revision}, {}, [path, *(keys.claim(c) for c in claims)])
            outcome = await self._timed("delete", res, txn)
            if outcome.succeeded:
                await self._seen(outcome.revision)
                return restamp(view, outcome.revision)
            current, live = self._beaten(res, namespace, name, path, current, outcome, set()), True

    async def put(self, operation: str, res: Resource, txn: Txn) -> Outcome:
        ttl = keys.lies_as(res).ttl
        if not ttl:
            return await self._timed(operation, res, txn)
        try:
            return await self._timed(operation, res, replace(txn, lease=await self._leases.of(ttl)))
        except LeaseEnded:
            self._leases.forget(ttl)
            return await self._timed(operation, res, replace(txn, lease=await self._leases.of(ttl)))

    async def _timed(self, operation: str, res: Resource, txn: Txn) -> Outcome:
        began = perf_counter()
        try:
            return await self._etcd.txn(txn)
        finally:
            self._seconds.observe((operation, res.group, res.plural), perf_counter() - began)

    async def _newest(self, res: Resource, namespace: str, name: str) -> tuple[Stored, bool]:
        """The object to start a write from, and whether it is surely current: the cache may lag by a moment,
        which the Txn finds out."""
        self.check_filled()
        found = self._cache.collection(keys.collection(res)).objects.get(keys.local(namespace, name))
        if found is not None:
            return found, False
        return await self._live(res, namespace, name), True

    async def _live(self, res: Resource, namespace: str, name: str) -> Stored:
        """The object as the quorum has it. NotFound."""
        kv, _ = await self._etcd.get(keys.path(res, namespace, name))
        if kv is None:
            raise not_found(res.group, res.plural, name)
        if self._etcd.unreadable:
            await self._check_readable(keys.path(res, namespace, name))
        stored = decode(self._registry, keys.local(namespace, name), kv.value, kv.revision)
        stored.outdated = kv.stale
        return stored

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

    async def _written(self, res: Resource, namespace: str, name: str, draft: Draft, revision: int) -> Stored:
        await self._seen(revision)
        found = self._cache.collection(keys.collection(res)).objects.get(keys.local(namespace, name))
        if found is None or found.revision != revision:
            found = draft.stored(revision)
        return await self.views.one(res, found)

    async def _seen(self, revision: int) -> None:
        """Wait for our own write to come back through the watch. It is durable in any case, so a watch that is
        just broken delays the answer but does not make it an error."""
        try:
            await self._cache.wait(revision, CATCH_UP_SECONDS)
        except Timeout:
            if self._cache.connected:
                raise


def _taken(outcome: Outcome, claims: set[str]) -> str:
    return next(c for c in sorted(claims) if outcome.found.get(keys.claim(c)) is not None)


def _other_uid(wanted: str, actual: str) -> str:
    return f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
