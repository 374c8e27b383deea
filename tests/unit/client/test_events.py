from __future__ import annotations

import asyncio

import pytest

from client.clock import FakeClock, settle
from client.events import EventRecorder
from tests.unit.client.fake_server import FakeObjects, pod


class Recorded:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = FakeObjects(self.clock)
        self.recorder = EventRecorder(self.server.client(), "kubelet", host="node-1", clock=self.clock)
        self.task = asyncio.ensure_future(self.recorder.run())

    async def end(self) -> None:
        await self.clock.run_for(1)
        await settle(100)
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_the_shape_is_upstreams() -> None:
    world = Recorded()
    world.recorder.event(pod("web", 7), "Normal", "Pulled", "Image is here", field_path="spec.containers{c}")
    await world.end()
    [(path, event)] = world.server.objects.items()
    assert path.startswith("/api/v1/namespaces/ns/events/web.")
    int(event["metadata"]["name"].removeprefix("web."), 16)
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "ns", "name": "web", "uid": "uid-web", "apiVersion": "v1",
        "resourceVersion": "7", "fieldPath": "spec.containers{c}",
    }  # fmt: skip
    assert event["source"] == {"component": "kubelet", "host": "node-1"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-02T03:04:05Z"
    assert (event["count"], event["type"], event["reason"]) == (1, "Normal", "Pulled")
    assert (event["reportingComponent"], event["reportingInstance"]) == ("kubelet", "node-1")


async def test_repeats_become_a_count() -> None:
    world = Recorded()
    for _ in range(3):
        world.recorder.event(pod("web", 7), "Warning", "BackOff", "again")
        await settle(60)
        world.clock.advance(10)
    world.recorder.event(pod("web", 7), "Warning", "BackOff", "another message")
    await world.end()
    by_message = {e["message"]: e for e in world.server.objects.values()}
    assert by_message["again"]["count"] == 3
    assert by_message["again"]["firstTimestamp"] == "2026-01-02T03:04:05Z"
    assert by_message["again"]["lastTimestamp"] == "2026-01-02T03:04:25Z"
    assert by_message["another message"]["count"] == 1


async def test_an_object_that_never_stops_is_heard_25_times_and_then_every_5_minutes() -> None:
    world = Recorded()
    for _ in range(100):
        world.recorder.event(pod("web", 7), "Warning", "BackOff", "again")
        await settle(60)
    assert world.recorder.dropped == 75
    world.clock.advance(301)
    world.recorder.event(pod("web", 7), "Warning", "BackOff", "again")
    await world.end()
    [event] = world.server.objects.values()
    assert event["count"] == 26


async def test_a_repeat_of_an_expired_event_begins_a_new_one() -> None:
    world = Recorded()
    world.recorder.event(pod("web", 7), "Normal", "Started", "x")
    await settle(60)
    world.server.objects.clear()
    world.recorder.event(pod("web", 7), "Normal", "Started", "x")
    await world.end()
    [event] = world.server.objects.values()
    assert event["count"] == 1


async def test_a_cluster_scoped_object_has_its_events_in_default() -> None:
    world = Recorded()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u"}}
    world.recorder.event(node, "Normal", "NodeReady", "x")
    await world.end()
    [path] = world.server.objects
    assert path.startswith("/api/v1/namespaces/default/events/n1.")


async def test_while_the_server_is_away_events_wait_and_the_overflow_is_counted() -> None:
    world = Recorded()
    world.server.away = True
    for number in range(4098):
        world.recorder.event(pod(f"p{number}", 7), "Normal", "Started", "x")
    assert world.recorder.dropped == 2
    await settle()
    assert not world.server.objects
    world.server.away = False
    await world.clock.run_for(1)
    await settle(100)
    await world.end()
    assert world.server.objects
    assert world.recorder.dropped == 2


async def test_a_burst_is_written_at_once_and_the_rest_at_an_even_pace() -> None:
    world = Recorded()
    for number in range(200):
        world.recorder.event(pod(f"p{number}", 7), "Normal", "Started", "x")
    await settle(3000)
    assert len(world.server.objects) == 100
    for _ in range(10):
        await world.clock.run_for(0.1)
        await settle(100)
    assert len(world.server.objects) == pytest.approx(150, abs=6)
    await world.end()
