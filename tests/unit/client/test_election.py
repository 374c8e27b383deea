from __future__ import annotations

import asyncio

from client import identity
from client.clock import FakeClock, settle
from client.election import LeaderElector
from tests.unit.client.fake_server import FakeObjects

PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/scheduler"


class Candidate:
    def __init__(self, server: FakeObjects, clock: FakeClock, name: str) -> None:
        self.elector = LeaderElector(server.client(), "scheduler", name, clock=clock)
        self.leading = False
        self.task = asyncio.ensure_future(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.leading = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leading = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def run_for(clock: FakeClock, seconds: float) -> None:
    for _ in range(round(seconds * 2)):
        await clock.run_for(0.5)
        await settle(60)


async def test_one_leads_and_the_lease_says_who() -> None:
    clock = FakeClock()
    server = FakeObjects(clock)
    first, second = Candidate(server, clock, "one"), Candidate(server, clock, "two")
    await run_for(clock, 60)
    assert [first.leading, second.leading] == [True, False]
    spec = server.objects[PATH]["spec"]
    assert spec["holderIdentity"] == "one"
    assert spec["leaseDurationSeconds"] == 15
    assert spec["leaseTransitions"] == 0
    assert spec["acquireTime"] < spec["renewTime"]
    await first.stop()
    await second.stop()


async def test_a_leader_that_stops_hands_over_at_once() -> None:
    clock = FakeClock()
    server = FakeObjects(clock)
    first, second = Candidate(server, clock, "one"), Candidate(server, clock, "two")
    await run_for(clock, 5)
    await first.stop()
    assert not first.leading
    await run_for(clock, 3)
    assert second.leading
    assert server.objects[PATH]["spec"]["leaseTransitions"] == 1 + 0
    await second.stop()


async def test_a_silent_leader_is_replaced_after_the_lease_duration() -> None:
    clock = FakeClock()
    server = FakeObjects(clock)
    dead = LeaderElector(server.client(), "scheduler", "dead", clock=clock)
    assert await dead.try_acquire()
    second = Candidate(server, clock, "two")
    await run_for(clock, 14)
    assert not second.leading
    await run_for(clock, 4)
    assert second.leading
    await second.stop()


async def test_a_holder_known_to_be_dead_is_replaced_at_once() -> None:
    clock = FakeClock()
    server = FakeObjects(clock)
    assert await LeaderElector(server.client(), "scheduler", "dead", clock=clock).try_acquire()
    heir = LeaderElector(
        server.client(), "scheduler", "heir", clock=clock, holder_is_gone=lambda holder: holder == "dead"
    )
    assert await heir.try_acquire()


async def test_a_leader_cut_off_stops_before_another_may_start() -> None:
    clock = FakeClock()
    server = FakeObjects(clock)
    first = Candidate(server, clock, "one")
    await run_for(clock, 5)
    server.away = True
    await run_for(clock, 8)
    assert first.leading
    await run_for(clock, 4)
    assert not first.leading
    server.away = False
    await run_for(clock, 4)
    assert first.leading
    await first.stop()


async def test_a_write_that_lost_the_race_does_not_lead() -> None:
    clock = FakeClock()
    server = FakeObjects(clock)
    old = LeaderElector(server.client(), "scheduler", "old", clock=clock)
    assert await old.try_acquire()
    clock.advance(20)
    one = LeaderElector(server.client(), "scheduler", "one", clock=clock)
    two = LeaderElector(server.client(), "scheduler", "two", clock=clock)
    assert not await one.try_acquire()
    assert not await two.try_acquire()
    clock.advance(16)
    assert await two.try_acquire()
    assert not await one.try_acquire()
    assert not await old.try_acquire()


def test_this_process_is_not_gone_and_strangers_are_not_judged() -> None:
    assert not identity.is_gone(identity.own())
    assert not identity.is_gone("elsewhere_0123-42-77-12")
    assert not identity.is_gone("garbage")
    dead = identity.own().rpartition("-")[0] + "-1"
    assert identity.is_gone(dead)
