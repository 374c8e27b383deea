"""The quota loop: recounts what a namespace uses, when its quota is new or what it counts becomes less.

The apiserver charges what comes in by itself, in the very write that lets it in. So a count is good when it began
after the state of the quota that it was written upon: whatever came in meanwhile has changed the quota, and the write
is refused. Pods, services and claims are followed as a whole; of the other kinds, those that some quota counts, by
their metadata.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from api import meta
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES
from api.errors import ApiError, NotFound
from api.meta import Obj
from api.registry import Resource
from client.informer import Informer
from client.reconciler import Reconciler
from client.reflector import Reflector
from controller import resource_quota_plan as plan
from controller.context import Context
from controller.resource_quota_plan import Tally

_WHOLE = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)
_RESYNC = 300.0
_SETTLE = 0.1  # what goes seldom goes alone
_SHARE = 5  # times as long as a count took, nothing is counted
_AGAIN = 5.0  # after a quota's first count: an apiserver that had not heard of it may have let something in
_PAGE = 500


class ResourceQuotaLoop:
    def __init__(self, context: Context) -> None:
        self._context, self._client, self._clock = context, context.client, context.clock
        self._quotas = context.informer(RESOURCE_QUOTAS, "namespace")
        self._work = Reconciler("resourcequota", self._reconcile, clock=context.clock, workers=5)
        self._served = context.discovery.changes()
        self._gone: dict[str, tuple[Resource, asyncio.Task[None]]] = {}
        self._pauses: dict[str, float] = {}
        self._quotas.on_event(self._on_quota)
        for row in _WHOLE:
            self._follow(context.informer(row))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work.run())
            while True:
                self._served.clear()
                self._follow_counted(group)
                await self._served.wait()

    def _on_quota(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is None or plan.needs_count(old, new):
            self._served.set()  # there may be more, or less, to follow
            self._work.queue.add(meta.key(new or old or {}))

    def _rows(self, quota: Obj) -> list[Resource]:
        return plan.counted(quota, self._context.discovery.rows)

    # ---- what may have become less

    def _follow(self, informer: Informer) -> None:
        measured = plan.measure(informer.res)
        assert measured is not None, "a kind that quotas count"

        def on_event(_: str, old: Obj | None, new: Obj | None) -> None:
            if old is None:
                return
            for quota in self._quotas.store.by_index("namespace", meta.namespace(old)):
                if new is None or plan.uses_otherwise(quota, measured, old, new, self._clock.now()):
                    self._soon(meta.key(quota))

        informer.on_event(on_event)

    def _follow_counted(self, group: asyncio.TaskGroup) -> None:
        quotas = self._quotas.store.list()
        wanted = {row.qualified: row for quota in quotas for row in self._rows(quota) if "watch" in row.verbs}
        for row in _WHOLE:
            wanted.pop(row.qualified, None)
        for name, (row, task) in list(self._gone.items()):
            if wanted.get(name) != row:
                task.cancel()
                del self._gone[name]
        for name, row in wanted.items():
            if name not in self._gone:
                sink = _Removals(row, self._recount)
                reflector = Reflector(self._client, row, sink, clock=self._clock, metadata_only=True)
                self._gone[name] = row, group.create_task(reflector.run())

    def _recount(self, row: Resource, namespace: str) -> None:
        """What is there of a kind has become less, in a namespace ("" = any)."""
        store = self._quotas.store
        for quota in store.by_index("namespace", namespace) if namespace else store.list():
            if plan.counted(quota, [row]):
                self._soon(meta.key(quota))

    def _soon(self, key: str) -> None:
        self._work.queue.add_after(key, self._pauses.get(key, _SETTLE))

    # ---- counting

    async def _reconcile(self, key: str) -> float | None:
        namespace, name = meta.split_key(key)
        began = self._clock.monotonic()
        try:
            quota = await self._client.get(RESOURCE_QUOTAS, name, namespace)
        except NotFound:
            self._pauses.pop(key, None)
            return None
        tallies: list[Tally] = []
        failure: ApiError | None = None
        for row, tally in self._tallies(quota):
            try:
                await self._count(row, namespace, tally)
            except ApiError as error:  # others can be counted all the same
                failure = error
            else:
                tallies.append(tally)
        status, before = plan.status(quota, tallies), quota.get("status") or {}
        if not plan.same(status, before):
            await self._client.update(RESOURCE_QUOTAS, {**quota, "status": status}, subresource="status")
        self._pauses[key] = max(_SETTLE, (self._clock.monotonic() - began) * _SHARE)
        if failure is not None:
            raise failure
        now, first = self._clock.now(), status["hard"] != before.get("hard")
        ends = [(tally.changes_at - now).total_seconds() + 1 for tally in tallies if tally.changes_at is not None]
        return min([_AGAIN if first else _RESYNC, *(max(seconds, _SETTLE) for seconds in ends)])

    def _tallies(self, quota: Obj) -> Iterator[tuple[Resource, Tally]]:
        for row in self._rows(quota):
            measured = plan.measure(row)
            if measured is not None and "list" in row.verbs:
                yield row, Tally(quota, measured, self._clock.now())

    async def _count(self, row: Resource, namespace: str, tally: Tally) -> None:
        """As they are now: consistent lists, a page at a time."""
        token, whole = "", row.qualified in {known.qualified for known in _WHOLE}
        while True:
            page = await self._client.list(row, namespace, limit=_PAGE, continue_token=token, metadata_only=not whole)
            tally.add(page["items"])
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return


class _Removals:
    """Hears of a kind's objects that go; keeps nothing."""

    def __init__(self, row: Resource, gone: Callable[[Resource, str], None]) -> None:
        self._row, self._gone = row, gone

    def replace(self, items: list[Obj]) -> None:
        self._gone(self._row, "")

    def apply(self, type_: str, obj: Obj) -> None:
        if type_ == "DELETED":
            self._gone(self._row, meta.namespace(obj))
