"""The replica set loop: as many pods as each ReplicaSet asks for, neither doubled nor lost by a stale cache."""

from __future__ import annotations

import asyncio

from api import meta
from api.builtin import PODS, REPLICA_SETS
from api.errors import ApiError, NotFound
from api.meta import Obj
from api.selectors import from_label_selector
from client.reconciler import Reconciler
from controller import adoption, ownership, pod_state, replicaset_plan
from controller.context import Context, in_parallel, namespace_is_terminating
from controller.expectations import Expectations


class ReplicaSetLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._events = context.recorder("replicaset-controller")
        self._expected = Expectations(context.clock)
        self._replica_sets = context.informer(REPLICA_SETS, "namespace", "controller")
        self._pods = context.informer(PODS, "controller")
        self._work = Reconciler("replicaset", self._reconcile, clock=context.clock, workers=5)
        self._replica_sets.on_event(self._on_replica_set)
        self._pods.on_event(self._on_pod)

    async def run(self) -> None:
        await self._work.run()

    def _on_replica_set(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        key = meta.key(new or old or {})
        if kind == "delete":
            self._expected.forget(key)
        self._work.queue.add(key)

    def _on_pod(self, kind: str, old: Obj | None, new: Obj | None) -> None:
        pod = new or old
        assert pod is not None
        owners = {key for key in (self._owner_key(old), self._owner_key(new)) if key}
        for key in owners:
            if kind == "delete" or meta.is_deleting(pod):
                self._expected.saw_deletion(key, meta.uid(pod))
            if kind == "add":
                self._expected.saw_creation(key)
            self._work.queue.add(key)
        if new is not None and meta.controller_of(new) is None:  # whoever it suits may adopt it
            for rs in self._replica_sets.store.by_index("namespace", meta.namespace(new)):
                if from_label_selector(rs["spec"].get("selector")).matches(meta.labels(new)):
                    self._work.queue.add(meta.key(rs))

    @staticmethod
    def _owner_key(pod: Obj | None) -> str:
        owner = meta.controller_of(pod) if pod else None
        if pod is None or owner is None or owner.get("kind") != "ReplicaSet":
            return ""
        return f"{meta.namespace(pod)}/{owner['name']}"

    async def _reconcile(self, key: str) -> float | None:
        rs = self._replica_sets.store.get(key)
        if rs is None:
            return None
        settled = self._expected.are_met(key)
        store = self._pods.store
        candidates = store.by_index("controller", meta.uid(rs))
        terminating = sum(1 for p in candidates if meta.is_deleting(p) and not pod_state.is_terminal(p))
        candidates += store.by_index("controller", f"orphans/{meta.namespace(rs)}")
        claims = ownership.claim(
            rs,
            from_label_selector(rs["spec"].get("selector")),
            [pod for pod in candidates if pod_state.is_active(pod)],
        )
        active = await adoption.settle(self._client, REPLICA_SETS, rs, PODS, claims)
        error: BaseException | None = None
        failure: tuple[str, str] | None = None
        if settled and not meta.is_deleting(rs):
            difference = replicaset_plan.difference(rs, active)
            if difference > 0:
                error = await self._make(key, rs, difference)
            elif difference < 0:
                error = await self._remove(key, rs, active, -difference)
            if error is not None:
                reason = "FailedCreate" if difference > 0 else "FailedDelete"
                failure = (reason, getattr(error, "message", str(error)))
        now = self._clock.now()
        status = replicaset_plan.status(rs, active, terminating, failure, now)
        if status != (rs.get("status") or {}):
            await self._client.update(REPLICA_SETS, {**rs, "status": status}, subresource="status")
        if error is not None:
            raise error
        return replicaset_plan.next_available_in(rs, active, now)

    async def _make(self, key: str, rs: Obj, count: int) -> BaseException | None:
        self._expected.expect_creations(key, count)
        made = 0
        for size in replicaset_plan.batches(count):
            results = await asyncio.gather(*(self._create(rs) for _ in range(size)), return_exceptions=True)
            made += size
            errors = [result for result in results if isinstance(result, BaseException)]
            if errors:
                self._expected.saw_creation(key, len(errors) + count - made)
                if all(namespace_is_terminating(error) for error in errors):
                    return None
                return errors[0]
        return None

    async def _create(self, rs: Obj) -> None:
        try:
            pod = await self._client.create(PODS, replicaset_plan.pod_from(rs))
        except ApiError as error:
            if not namespace_is_terminating(error):
                self._events.event(rs, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._events.event(rs, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")

    async def _remove(self, key: str, rs: Obj, active: list[Obj], count: int) -> BaseException | None:
        chosen = replicaset_plan.victims(active, self._related(rs), count, self._clock.now())
        self._expected.expect_deletions(key, [meta.uid(pod) for pod in chosen])
        errors = await in_parallel([self._delete(key, rs, pod) for pod in chosen])
        return errors[0] if errors else None

    def _related(self, rs: Obj) -> list[Obj]:
        """The pods of all replica sets of the same owner: they share nodes with ours for the same purpose."""
        owner = meta.controller_of(rs)
        siblings = self._replica_sets.store.by_index("controller", owner["uid"]) if owner else [rs]
        return [pod for s in siblings for pod in self._pods.store.by_index("controller", meta.uid(s))]

    async def _delete(self, key: str, rs: Obj, pod: Obj) -> None:
        try:
            await self._client.delete(PODS, meta.name(pod), meta.namespace(pod), uid=meta.uid(pod))
        except NotFound:
            self._expected.saw_deletion(key, meta.uid(pod))
        except ApiError as error:
            self._expected.saw_deletion(key, meta.uid(pod))
            self._events.event(rs, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        else:
            self._events.event(rs, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
