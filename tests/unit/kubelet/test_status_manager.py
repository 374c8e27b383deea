"""Delivery of statuses against a scripted apiserver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.errors import ApiError, Conflict, Forbidden, InternalError, Invalid, NotFound, ServiceUnavailable, Unauthorized
from api.meta import Obj
from client.clock import FakeClock, settle
from kubelet.pods.status_manager import StatusManager, with_others
from tests.unit.kubelet.pods import pod


class Server:
    """Holds one pod; `failures` are raised by the next writes, in order."""

    def __init__(self, stored: Obj | None) -> None:
        self.stored, self.failures, self.writes = stored, list[ApiError](), list[Obj]()

    async def get(self, res: Any, name: str, namespace: str) -> Obj:
        if self.stored is None:
            raise NotFound("gone")
        return self.stored

    async def update(self, res: Any, obj: Obj, *, subresource: str) -> Obj:
        assert subresource == "status"
        if self.failures:
            raise self.failures.pop(0)
        if self.stored is None:
            raise NotFound("gone")
        if obj["metadata"].get("resourceVersion") != self.stored["metadata"].get("resourceVersion"):
            raise Conflict("changed")
        self.writes.append(obj)
        version = str(int(self.stored["metadata"].get("resourceVersion") or 0) + 1)
        self.stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}
        return self.stored


def versioned(version: str, **status: Any) -> Obj:
    made = pod(status=status)
    return {**made, "metadata": {**made["metadata"], "resourceVersion": version}}


def manager(server: Server, known: Callable[[str], Obj | None] = lambda _: None) -> tuple[StatusManager, FakeClock]:
    clock = FakeClock()
    return StatusManager(server, known, clock), clock  # type: ignore[arg-type]  # a scripted client


async def test_the_newest_of_several_is_written_once() -> None:
    server = Server(versioned("1"))
    made, _ = manager(server)
    for phase in ("Pending", "Running", "Succeeded"):
        made.set(versioned("1"), {"phase": phase})
    await made.flush("u-1")
    assert [w["status"]["phase"] for w in server.writes] == ["Succeeded"]


async def test_what_is_stored_already_is_not_written() -> None:
    server = Server(versioned("1", phase="Running"))
    made, _ = manager(server)
    made.set(versioned("1", phase="Running"), {"phase": "Running", "conditions": []})
    await settle()
    assert server.writes == []


async def test_a_conflict_keeps_the_conditions_of_others() -> None:
    other = {"type": "x/y", "status": "True"}
    server = Server(versioned("5", conditions=[other, {"type": "Ready", "status": "False"}]))
    made, _ = manager(server)
    made.set(versioned("1"), {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    await made.flush("u-1")
    assert server.writes[0]["status"]["conditions"] == [{"type": "Ready", "status": "True"}, other]


async def test_another_pod_of_the_same_name_is_left_alone() -> None:
    stranger = versioned("5")
    stranger["metadata"] = {**stranger["metadata"], "uid": "u-2"}
    server = Server(stranger)
    made, _ = manager(server)
    made.set(versioned("1"), {"phase": "Running"})
    await made.flush("u-1")
    assert server.writes == []


async def test_a_pod_that_is_gone_is_no_trouble() -> None:
    made, _ = manager(Server(None))
    made.set(versioned("1"), {"phase": "Running"})
    await made.flush("u-1")


async def test_an_absent_server_gets_the_newest_status_later() -> None:
    server = Server(versioned("1"))
    server.failures = [ServiceUnavailable("away")] * 3
    made, clock = manager(server)
    made.set(versioned("1"), {"phase": "Pending"})
    await settle()
    made.set(versioned("1"), {"phase": "Running"})
    await clock.run_for(5)
    assert [w["status"]["phase"] for w in server.writes] == ["Running"]
    await asyncio.wait_for(made.flush("u-1"), 1)


@pytest.mark.parametrize("error", [InternalError, Unauthorized, Forbidden, Invalid])
async def test_a_refused_status_is_sent_again(error: type[ApiError]) -> None:
    """status_manager.go, Start: what was not written is tried again every ten seconds."""
    server = Server(versioned("1"))
    server.failures = [error("no")] * 2
    made, clock = manager(server)
    made.set(versioned("1"), {"phase": "Running"})
    await clock.run_for(5)
    assert len(server.failures) == 1
    await clock.run_for(60)
    assert [w["status"]["phase"] for w in server.writes] == ["Running"]
    await asyncio.wait_for(made.flush("u-1"), 1)


async def test_refused_statuses_hold_up_no_other() -> None:
    server = Server(versioned("1"))
    server.failures = [Forbidden("no")] * 20
    made, clock = manager(server)
    for number in range(20):
        one = versioned("1")
        made.set({**one, "metadata": {**one["metadata"], "uid": f"x-{number}"}}, {"phase": "Running"})
    await clock.run_for(1)
    made.set(versioned("1"), {"phase": "Failed"})
    await clock.run_for(1)
    assert [w["status"]["phase"] for w in server.writes] == ["Failed"]


async def test_a_refused_status_waits_longer_each_time_unless_there_is_news() -> None:
    server = Server(versioned("1"))
    server.failures = [Invalid("no")] * 1000
    made, clock = manager(server)
    made.set(versioned("1"), {"phase": "Pending"})
    await clock.run_for(600)
    assert 975 < len(server.failures) < 995
    asked = len(server.failures)
    made.set(versioned("1"), {"phase": "Pending"})
    await settle()
    assert len(server.failures) == asked
    made.set(versioned("1"), {"phase": "Running"})
    await settle()
    assert len(server.failures) == asked - 1


async def test_nobody_waits_for_the_refused_status_of_a_pod_that_is_gone() -> None:
    server = Server(versioned("1"))
    server.failures = [Invalid("no")]
    made, _ = manager(server)
    made.set(versioned("1"), {"phase": "Pending"})
    await settle()
    made.forget("u-1")
    await asyncio.wait_for(made.flush("u-1"), 1)
    assert server.writes == []


async def test_a_refusal_is_told_once() -> None:
    server = Server(versioned("1"))
    server.failures = [Invalid("no")] * 10
    made, clock = manager(server)
    made.set(versioned("1"), {"phase": "Pending"})
    with capture_logs() as told:
        await clock.run_for(200)
    assert len(server.failures) < 8
    assert [line["log_level"] for line in told].count("error") == 1


def test_with_others_takes_ours_first() -> None:
    base = {"status": {"conditions": [{"type": "example.com/x"}, {"type": "Ready", "status": "old"}]}}
    ours = {"conditions": [{"type": "Ready", "status": "new"}, {"type": "example.com/x", "status": "stale"}]}
    assert with_others(ours, base)["conditions"] == [
        {"type": "Ready", "status": "new"},
        {"type": "example.com/x"},
    ]


async def test_nobody_waits_for_what_is_refused() -> None:
    """A pod that is deleted goes though its last status is not taken."""
    server = Server(versioned("1"))
    server.failures = [Invalid("no") for _ in range(9)]
    made, clock = manager(server)
    made.set(versioned("1"), {"phase": "Running"})
    await asyncio.wait_for(made.flush("u-1"), 5)
    assert not server.writes
    server.failures.clear()
    await clock.run_for(15)
    assert [w["status"]["phase"] for w in server.writes] == ["Running"]
