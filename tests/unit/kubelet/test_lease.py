"""The node's heartbeat against a scripted apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api.errors import ApiError, NotFound, ServiceUnavailable
from api.meta import Obj
from client.clock import FakeClock, settle
from kubelet.node.lease import Heartbeat

OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u-n"}


class Server:
    """Holds one Lease; `failures` are raised by the next writes, in order."""

    def __init__(self) -> None:
        self.lease: Obj | None = None
        self.node: Obj | None = None
        self.failures = list[ApiError]()

    async def get(self, res: Any, name: str, namespace: str) -> Obj:
        if self.lease is None:
            raise NotFound("no lease")
        return self.lease

    async def create(self, res: Any, obj: Obj) -> Obj:
        assert self.lease is None
        return await self.update(res, obj)

    async def update(self, res: Any, obj: Obj) -> Obj:
        if self.failures:
            raise self.failures.pop(0)
        self.lease = obj
        return obj


@asynccontextmanager
async def beating(server: Server) -> AsyncIterator[FakeClock]:
    clock = FakeClock()
    beat = Heartbeat(server, "n", 40, lambda: server.node, clock)  # type: ignore[arg-type]  # a scripted client
    task = asyncio.create_task(beat.run())
    await settle()
    yield clock
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_lease_waits_for_the_node_that_owns_it() -> None:
    """pkg/kubelet/util/nodelease.go: without an owner it would outlive the Node."""
    server = Server()
    async with beating(server) as clock:
        assert server.lease is None
        server.node = {"metadata": {"name": "n", "uid": "u-n"}}
        await clock.run_for(1.0)
        assert server.lease is not None and server.lease["metadata"]["ownerReferences"] == [OWNER]
        assert server.lease["spec"]["holderIdentity"] == "n" and server.lease["spec"]["leaseDurationSeconds"] == 40


async def test_one_without_an_owner_is_renewed_and_gets_one() -> None:
    server = Server()
    server.lease = {"metadata": {"name": "n", "resourceVersion": "7"}, "spec": {"leaseTransitions": 2}}
    async with beating(server) as clock:
        assert "ownerReferences" not in server.lease["metadata"] and "renewTime" in server.lease["spec"]
        server.node = {"metadata": {"name": "n", "uid": "u-n"}}
        await clock.run_for(10.0)
        assert server.lease["metadata"] == {"name": "n", "resourceVersion": "7", "ownerReferences": [OWNER]}
        assert server.lease["spec"]["leaseTransitions"] == 2
        server.node = {"metadata": {"name": "n", "uid": "another"}}
        await clock.run_for(10.0)
        assert server.lease["metadata"]["ownerReferences"] == [OWNER], "an owner it has stays"


async def test_it_is_renewed_four_times_in_its_span_and_soon_after_a_failure() -> None:
    server = Server()
    server.node = {"metadata": {"name": "n", "uid": "u-n"}}
    async with beating(server) as clock:
        times = set[str]()
        for _ in range(40):
            assert server.lease is not None
            times.add(server.lease["spec"]["renewTime"])
            await clock.run_for(1.0)
        assert len(times) == 4
        server.failures = [ServiceUnavailable("down")]
        await clock.run_for(10.0)
        assert server.failures == []
        before = server.lease["spec"]["renewTime"]
        await clock.run_for(2.0)
        assert server.lease["spec"]["renewTime"] > before
