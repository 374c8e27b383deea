"""One leader at a time, by a coordination.k8s.io Lease in kube-system, as client-go does it.

Whoever holds the lease renews it every `retry_period`. Others wait until it has not changed for
`lease_duration`, by their own clock (so clocks need not agree), and then take it. Every write carries the
resourceVersion that was read: two that try at once cannot both succeed. A leader that could not renew for
`renew_deadline` stops leading before anybody else may start.

`holder_is_gone(identity)` may tell that a holder has died for certain: its lease is taken at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from api.builtin import LEASES
from api.errors import ApiError, NotFound
from api.meta import Obj, rfc3339_micro
from client import log, metrics
from client.clock import Clock, RealClock
from client.http import ApiClient

_log = log.get("election")
NAMESPACE = "kube-system"


class LeaderElector:
    def __init__(
        self,
        client: ApiClient,
        lease_name: str,
        identity: str,
        *,
        clock: Clock | None = None,
        lease_duration: float = 15,
        renew_deadline: float = 10,
        retry_period: float = 2,
        holder_is_gone: Callable[[str], bool] = lambda holder: False,
    ) -> None:
        self._client, self._name, self.identity = client, lease_name, identity
        self._clock = clock or RealClock()
        self._lease_duration, self._renew_deadline = lease_duration, renew_deadline
        self._retry_period, self._holder_is_gone = retry_period, holder_is_gone
        self._seen: Obj | None = None  # the lease as last read or written
        self._seen_at = 0.0
        self.leading = False

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, run `lead`, cancel it when the lease is lost, and wait again. Returns when
        `lead` returns; the lease is given up then, on an error, and on cancellation."""
        while True:
            while not await self.try_acquire():
                await self._clock.sleep(self._retry_period)
            self.leading = True
            _log.info("leading", lease=self._name, identity=self.identity)
            leader = asyncio.ensure_future(lead())
            renewer = asyncio.ensure_future(self._renew_until_lost())
            try:
                await asyncio.wait({leader, renewer}, return_when=asyncio.FIRST_COMPLETED)
                if leader.done():
                    return leader.result()
                _log.warning("lost the lease", lease=self._name, identity=self.identity)
                metrics.count("sampan_leader_lost", lease=self._name)
            finally:
                self.leading = False
                await _stop(leader)
                await _stop(renewer)
                await self._release()

    async def try_acquire(self) -> bool:
        """One attempt to take or renew the lease."""
        try:
            return await self._attempt()
        except ApiError as error:
            _log.info("lease", lease=self._name, code=error.code, why=error.message)
            return False

    async def _attempt(self) -> bool:
        if not self._holds(self._seen):
            try:
                self._observe(await self._client.get(LEASES, self._name, NAMESPACE))
            except NotFound:
                self._observe(await self._client.create(LEASES, self._lease(None)))
                return True
        lease = self._seen
        assert lease is not None
        if not self._holds(lease) and not self._is_free(lease):
            return False
        try:
            self._observe(await self._client.update(LEASES, self._lease(lease)))
        except ApiError:
            self._observe(await self._client.get(LEASES, self._name, NAMESPACE))
            raise
        return True

    def _holds(self, lease: Obj | None) -> bool:
        return lease is not None and _spec(lease).get("holderIdentity") == self.identity

    def _is_free(self, lease: Obj) -> bool:
        holder = _spec(lease).get("holderIdentity")
        if not holder or self._holder_is_gone(holder):
            return True
        duration = float(_spec(lease).get("leaseDurationSeconds") or self._lease_duration)
        return self._clock.monotonic() >= self._seen_at + duration

    def _observe(self, lease: Obj) -> None:
        if self._seen is None or _spec(self._seen) != _spec(lease):
            self._seen_at = self._clock.monotonic()
        self._seen = lease

    def _lease(self, old: Obj | None) -> Obj:
        """What to write to hold it from now on."""
        now = rfc3339_micro(self._clock.now())
        before = _spec(old) if old else {}
        taken = before.get("holderIdentity") != self.identity
        transitions = int(before.get("leaseTransitions") or 0)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": old["metadata"] if old else {"name": self._name, "namespace": NAMESPACE},
            "spec": {
                **before,
                "holderIdentity": self.identity,
                "leaseDurationSeconds": max(1, round(self._lease_duration)),
                "acquireTime": now if taken else before.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": transitions + 1 if taken and old else transitions,
            },
        }

    async def _renew_until_lost(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._retry_period)
            started = self._clock.monotonic()
            left = renewed + self._renew_deadline - started
            if left <= 0 or not await self._renew_within(left):
                if not self._holds(self._seen) or self._clock.monotonic() - renewed >= self._renew_deadline:
                    return
            else:
                renewed = started

    async def _renew_within(self, seconds: float) -> bool:
        """A request that hangs must not outlive the deadline."""
        attempt = asyncio.ensure_future(self.try_acquire())
        timer = self._clock.call_later(seconds, attempt.cancel)
        try:
            await asyncio.wait({attempt})
            return False if attempt.cancelled() else attempt.result()
        finally:
            timer.cancel()
            attempt.cancel()

    async def _release(self) -> None:
        """Let the next leader start at once rather than after `lease_duration`."""
        if not self._holds(self._seen):
            return
        assert self._seen is not None
        now = rfc3339_micro(self._clock.now())
        spec = {**_spec(self._seen), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
        lease = {**self._seen, "spec": spec}
        self._seen = None
        try:
            await self._client.update(LEASES, lease)
        except ApiError as error:
            _log.info("could not release the lease", lease=self._name, why=error.message)


async def _stop(task: asyncio.Future[None]) -> None:
    """Cancel and wait for the end; a failure that was not looked at yet is logged."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is not None:
            _log.error("stopped with an error", exc_info=task.exception())


def _spec(lease: Obj) -> dict[str, Any]:
    return lease.get("spec") or {}
