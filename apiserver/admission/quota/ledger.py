"""Writes objects together with the quotas they use, in one Txn: what is used and what is there never differ, whoever
dies in between and however many servers write.

While one Txn of a namespace is under way, all that want to be written there wait for the next one and share it. A Txn
that lost against another server is judged again by what that one has written. A refusal is believed only from quotas
that were current after it was asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api import errors
from api.builtin import BUILTIN, RESOURCE_QUOTAS
from api.errors import ApiError, Forbidden, InternalError
from api.quota import Measure
from api.registry import Resource
from apiserver.admission.quota.judge import Limited, Quota, Want, judge
from apiserver.storage import keys
from apiserver.storage.decode import Draft, decode
from apiserver.storage.etcd import Outcome, Txn
from apiserver.storage.store import Put, Store, Stored

_MOST_KEYS = 64  # of the 128 that etcd takes in one Txn: there are also the quotas
_MOST_BYTES = 1_000_000
_TRIES = 64

log = logging.getLogger("apiserver.quota")


@dataclass(slots=True, eq=False)
class _Entry:
    want: Want
    txn: Txn
    written: asyncio.Future[Outcome]

    @property
    def touches(self) -> set[str]:
        return {*self.txn.at, *self.txn.put, *self.txn.remove}

    @property
    def size(self) -> int:
        return sum(map(len, self.txn.put.values()))


@dataclass(slots=True)
class _Namespace:
    """What is known of the quotas of one namespace, and who waits to be written there."""

    quotas: dict[str, tuple[Stored, Quota]] = field(default_factory=dict)
    waiting: list[_Entry] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None


class Ledger:
    def __init__(self, store: Store, limited: Sequence[Limited] = ()) -> None:
        self._store = store
        self._limited = limited
        self._namespaces: dict[str, _Namespace] = {}
        store.listen(RESOURCE_QUOTAS, self._on_quota)

    def tracks(self, namespace: str, measure: Measure) -> bool:
        """Whether what is limited there is of a kind that is so measured."""
        known = self._namespaces.get(namespace)
        quotas = known.quotas.values() if known is not None else ()
        return bool(self._limited) or any(quota.tracks(measure) for _, quota in quotas)

    async def check(self, want: Want) -> None:
        """Forbidden when it does not fit. Nothing is written."""
        namespace = want.attempt.namespace
        try:
            judge(want, self._quotas(namespace).values(), self._limited)
        except Forbidden:
            await self._refresh(namespace)
            judge(want, self._quotas(namespace).values(), self._limited)

    def writer(self, want: Want) -> Put:
        """Writes the object of `want` in place of Store.put: Forbidden when it does not fit."""

        def write(_: str, __: Resource, txn: Txn) -> asyncio.Future[Outcome]:
            name = want.attempt.namespace
            namespace = self._namespaces.setdefault(name, _Namespace())
            entry = _Entry(want, txn, asyncio.get_running_loop().create_future())
            namespace.waiting.append(entry)
            if namespace.worker is None:
                namespace.worker = asyncio.create_task(self._work(name, namespace), name=f"quotas of {name}")
            return entry.written

        return write

    # ---- what is known

    def _on_quota(self, key: str, quota: Stored | None) -> None:
        namespace, name = keys.split_local(key)
        if quota is not None:
            self._learn(namespace, quota)
        else:
            self._forget(namespace, name)

    def _learn(self, namespace: str, found: Stored, quota: Quota | None = None) -> None:
        quotas = self._namespaces.setdefault(namespace, _Namespace()).quotas
        known = quotas.get(found.name)
        if known is None or known[0].revision < found.revision:
            quotas[found.name] = found, quota or Quota.of(found.name, found.obj())

    def _forget(self, namespace: str, name: str) -> None:
        known = self._namespaces.get(namespace)
        if known is not None:
            known.quotas.pop(name, None)
            self._tidy(namespace, known)

    def _tidy(self, name: str, namespace: _Namespace) -> None:
        if not namespace.quotas and namespace.worker is None:
            self._namespaces.pop(name, None)

    def _quotas(self, namespace: str) -> dict[str, Quota]:
        known = self._namespaces.get(namespace)
        found = known.quotas if known is not None else {}
        return {name: found[name][1] for name in sorted(found)}

    async def _refresh(self, namespace: str) -> None:
        """Once the store shows everything written up to now, we have heard of it."""
        await self._store.list(RESOURCE_QUOTAS, namespace)

    # ---- writing

    async def _work(self, name: str, namespace: _Namespace) -> None:
        try:
            while batch := _next(namespace):
                try:
                    await self._write(name, batch)
                except Exception as error:
                    if not isinstance(error, ApiError):
                        log.exception("writing what uses quotas of %s failed", name)
                    for entry in batch:
                        _fail(entry, error)
        finally:
            namespace.worker = None
            for entry in namespace.waiting:
                entry.written.cancel()  # only when this task was
            self._tidy(name, namespace)

    async def _write(self, namespace: str, batch: list[_Entry]) -> None:
        current = False
        written: set[str] = set()
        for _ in range(_TRIES):
            quotas, refusals = self._quotas(namespace), list[tuple[_Entry, Forbidden]]()
            joining: list[_Entry] = []
            written.clear()
            for entry in batch:
                if entry.written.done():
                    continue
                try:
                    changed = judge(entry.want, quotas.values(), self._limited)
                except Forbidden as error:
                    refusals.append((entry, error))
                    continue
                quotas |= {quota.name: quota for quota in changed}
                written |= {quota.name for quota in changed}
                joining.append(entry)
            if refusals and not current:
                await self._refresh(namespace)
                current = True
                continue
            if not joining or await self._commit(namespace, joining, [quotas[name] for name in sorted(written)]):
                for entry, why in refusals:  # those that they were judged beside have come in
                    _fail(entry, why)
                return
        raise errors.conflict("", RESOURCE_QUOTAS.plural, sorted(written)[0])

    async def _commit(self, namespace: str, entries: list[_Entry], quotas: list[Quota]) -> bool:
        """Whether that settles them; else what is known has become newer.

        News may come before the answer: a quota that is no longer known by then has gone since.
        """
        known, joint = self._namespaces[namespace].quotas, _joined([entry.txn for entry in entries])
        drafts: dict[str, Draft] = {}
        for quota in quotas:
            stored, _ = known[quota.name]
            obj, local = stored.obj(), keys.local(namespace, quota.name)
            if quota.used:
                obj["status"] = {**(obj.get("status") or {}), "used": quota.used}
            drafts[quota.name] = draft = Draft(BUILTIN, local, obj)
            path = keys.path(RESOURCE_QUOTAS, namespace, quota.name)
            joint.at[path], joint.put[path] = stored.revision, draft.value
        outcome = await self._store.put("update", RESOURCE_QUOTAS, joint)
        if outcome.succeeded:
            for quota in quotas:
                if quota.name in known:
                    self._learn(namespace, drafts[quota.name].stored(outcome.revision), quota)
            for entry in entries:
                _settle(entry, outcome)
            return True
        for entry in entries:
            found = {key: outcome.found[key] for key in entry.txn.at}
            if any((kv.revision if kv else 0) != entry.txn.at[key] for key, kv in found.items()):
                _settle(entry, Outcome(False, outcome.revision, found))
        for name in drafts:
            local, now = keys.local(namespace, name), outcome.found[keys.path(RESOURCE_QUOTAS, namespace, name)]
            if name not in known:
                continue
            if now is not None:
                self._learn(namespace, decode(BUILTIN, local, now.value, now.revision))
            elif known[name][0].revision <= outcome.revision:
                del known[name]
        return False


def _next(namespace: _Namespace) -> list[_Entry]:
    """Of those that wait, as many as fit into one Txn. No two write the same key."""
    batch: list[_Entry] = []
    rest: list[_Entry] = []
    taken: set[str] = set()
    size = 0
    for entry in namespace.waiting:
        if entry.written.done():  # nobody waits any more
            continue
        full = len(taken) + len(entry.touches) > _MOST_KEYS or size + entry.size > _MOST_BYTES
        if batch and (full or not taken.isdisjoint(entry.touches)):
            rest.append(entry)
            continue
        batch.append(entry)
        taken |= entry.touches
        size += entry.size
    namespace.waiting = rest
    return batch


def _joined(txns: Iterable[Txn]) -> Txn:
    joint = Txn({}, {}, remove := list[str]())
    for txn in txns:
        joint.at.update(txn.at)
        joint.put.update(txn.put)
        remove.extend(txn.remove)
    return joint


def _settle(entry: _Entry, outcome: Outcome) -> None:
    if not entry.written.done():
        entry.written.set_result(outcome)


def _fail(entry: _Entry, error: Exception) -> None:
    """Each waiter gets an error of its own."""
    if not entry.written.done():
        entry.written.set_exception(
            type(error)(error.message, error.details)
            if isinstance(error, ApiError)
            else InternalError("the write failed together with others: see the log of the server")
        )
