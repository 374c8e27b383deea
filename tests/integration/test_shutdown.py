"""Graceful node shutdown: the part that the kubelet takes in a machine's shutdown, with a real D-Bus daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api.meta import Obj
from client.clock import RealClock
from kubelet.configuration import API_VERSION, KIND, parse
from kubelet.node import logind as ours
from kubelet.node.shutdown import MESSAGE, Shutdown
from kubelet.pods.model import Ending, PodContainers
from tests.harness.eventually import eventually
from tests.harness.logind import Logind


def configured(**fields: Any) -> Any:
    return parse({"apiVersion": API_VERSION, "kind": KIND, **fields})


def pod(name: str, priority: int | None = None) -> Obj:
    return {"metadata": {"name": name, "uid": name}, "spec": {"priority": priority}, "status": {"phase": "Running"}}


class Node:
    """Pods that end when they are told to, after a moment."""

    def __init__(self, pods: list[Obj]) -> None:
        self.pods, self.ended = pods, dict[str, Ending]()
        self.events: list[str] = []
        self.told: list[str] = []

    def all(self) -> list[Obj]:
        return self.pods

    def end(self, uid: str, ending: Ending) -> bool:
        self.ended[uid] = ending
        asyncio.get_running_loop().call_later(0.05, self._finish, uid)
        return True

    def _finish(self, uid: str) -> None:
        self.pods = [{**p, "status": {"phase": "Failed"}} if p["metadata"]["uid"] == uid else p for p in self.pods]

    def of_pod(self, _: str) -> PodContainers:
        return PodContainers()

    def event(self, obj: Obj, type_: str, reason: str, message: str) -> None:
        self.events.append(f"{obj['metadata']['name']} {type_} {reason} {message}")

    async def tell(self, uid: str) -> None:
        self.told.append(uid)


@asynccontextmanager
async def shutting_down(
    node: Any, address: str, monkeypatch: pytest.MonkeyPatch, **fields: Any
) -> AsyncIterator[Shutdown]:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    self = Shutdown(
        node, node, node.tell, node, pod("node"), configured(**fields), RealClock(), lambda: None
    )  # fmt: skip
    task = asyncio.create_task(self.run())
    try:
        yield self
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_story_of_a_shutdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KEP-2000: a delay lock is held; when the shutdown comes pods are ended by priority, their end is told, and the
    lock given back; when it is called off a lock is taken again."""
    node = Node([pod("web"), pod("dns", 2_000_000_000), {**pod("done"), "status": {"phase": "Succeeded"}}])
    with Logind(tmp_path) as machine:
        fields = {"shutdownGracePeriod": "20s", "shutdownGracePeriodCriticalPods": "5s"}
        async with shutting_down(node, machine.address, monkeypatch, **fields) as shutdown:
            await eventually(lambda: machine.locks == 1, "a lock is held")
            assert machine.asked == [("shutdown", "kubelet", "delay")]
            assert shutdown.refused() is None

            machine.prepare_for_shutdown(True)
            await eventually(lambda: machine.locks == 0, "the machine may go on")
            assert list(node.ended) == ["web", "dns"] == node.told
            assert (node.ended["web"].grace, node.ended["dns"].grace) == (15, 5)
            assert (node.ended["web"].reason, node.ended["web"].message) == ("Terminated", MESSAGE)
            assert (node.ended["web"].condition or {})["type"] == "DisruptionTarget"
            no = shutdown.refused()
            assert no is not None and (no.reason, no.message) == (
                "NodeShutdown", "Pod was rejected as the node is shutting down."
            )  # fmt: skip

            machine.prepare_for_shutdown(False)
            await eventually(lambda: machine.locks == 1, "a lock is held again")
            assert shutdown.refused() is None
            assert node.events == [
                "node Normal NodeShutdown Shutdown manager detected shutdown event",
                "node Normal NodeShutdown Shutdown manager detected shutdown cancellation",
            ]
        await eventually(lambda: machine.locks == 0, "the lock goes with the kubelet")


async def test_a_machine_that_waits_too_short_is_told_to_wait_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OverrideInhibitDelay, but for this boot alone."""
    drop_in = tmp_path / "logind.conf.d" / "99.conf"
    monkeypatch.setattr(ours, "DROP_IN", drop_in)
    with Logind(tmp_path, delay=5, drop_in=drop_in) as machine:
        async with shutting_down(Node([]), machine.address, monkeypatch, shutdownGracePeriod="30s"):
            await eventually(lambda: machine.locks == 1, "a lock is held")
            assert machine.delay == 30


async def test_a_shutdown_that_began_before_the_kubelet_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node([pod("web")])
    with Logind(tmp_path) as machine:
        machine.prepare_for_shutdown(True)
        async with shutting_down(node, machine.address, monkeypatch, shutdownGracePeriod="20s"):
            await eventually(lambda: node.told == ["web"] and machine.locks == 0, "the pod is ended")


async def test_a_lost_bus_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shutting_down(Node([]), f"unix:path={tmp_path}/bus", monkeypatch, shutdownGracePeriod="20s"):
        for _ in range(2):
            with Logind(tmp_path) as machine:
                await eventually(lambda: machine.locks == 1, "a lock is held")
