"""The scheduler's shell against an apiserver that keeps a few objects."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson

from api.builtin import NODES, PODS
from client.clock import FakeClock, settle
from client.events import EventRecorder
from client.http import ApiClient
from client.informer import Informers
from client.kubeconfig import RestConfig
from scheduler.loop import RUNNING, Scheduler
from scheduler.queue import Place
from scheduler.report import Reporter
from tests.unit.scheduler.objects import node, pod_object


class World:
    """Events go straight into the informers; what the scheduler writes is kept in `bound` and `patched`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bound: dict[str, str] = {}
        self.patched: dict[str, dict[str, Any]] = {}
        self.events: list[tuple[str, str]] = []
        self.binding_answer: int = 201
        self.revision = 0
        client = ApiClient(RestConfig("http://fake"), clock=self.clock, transport=httpx.MockTransport(self._answer))
        self.informers = Informers(client, clock=self.clock)
        recorder = EventRecorder(client, "default-scheduler", clock=self.clock)
        reporter = Reporter(client, recorder, self.clock)
        self.scheduler = Scheduler(client, self.informers, recorder, reporter, self.clock)
        for informer in (*self.informers._shared.values(),):
            informer.replace([])
        self.tasks = [asyncio.ensure_future(each) for each in (recorder.run(), reporter.run(), self.scheduler.run())]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        *_, name, last = request.url.path.split("/")
        if last == "binding":
            if self.binding_answer >= 300:
                return httpx.Response(self.binding_answer, json={"message": "no"})
            self.bound[name] = body["target"]["name"]
        elif last == "status":
            self.patched[name] = body["status"]["conditions"][0]
        elif last == "events":
            self.events.append((body["reason"], body["message"]))
        return httpx.Response(201, json=body)

    def see(self, obj: dict[str, Any], type_: str = "MODIFIED") -> None:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        informer = self.informers.of(NODES) if obj["kind"] == "Node" else self.informers.of(PODS, fields=RUNNING)
        informer.apply(type_, obj)

    async def pass_time(self, seconds: float = 0.0) -> None:
        await settle(100)
        await self.clock.run_for(seconds)
        await settle(100)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


async def test_a_pod_is_bound_and_that_is_told() -> None:
    world = World()
    world.see(node("a"))
    world.see(pod_object("p"))
    await world.pass_time()
    assert world.bound == {"p": "a"}
    assert world.events == [("Scheduled", "Successfully assigned ns/p to a")]
    await world.end()


async def test_a_pod_that_fits_nowhere_says_why_and_goes_when_there_is_room() -> None:
    world = World()
    world.see(node("a", cpu="1"))
    world.see(pod_object("first", cpu="1", nodeName="a"))
    world.see(pod_object("second", cpu="1"))
    await world.pass_time()
    condition = world.patched["second"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled", "False", "Unschedulable",
    )  # fmt: skip
    assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient cpu. preemption: ")
    assert world.events == [("FailedScheduling", condition["message"])]
    world.see(pod_object("first", cpu="1", nodeName="a"), "DELETED")
    await world.pass_time()
    assert world.bound == {"second": "a"}
    await world.end()


async def test_a_failed_binding_forgets_the_assumption_and_tries_again() -> None:
    world = World()
    world.binding_answer = 503
    world.see(node("a", cpu="1"))
    world.see(pod_object("p", cpu="1"))
    await world.pass_time()
    assert world.scheduler.snapshot.node_of("uid-p") == ""
    assert world.scheduler.queue.place_of("uid-p") is Place.BACKOFF
    world.binding_answer = 201
    await world.pass_time(1.1)
    assert world.bound == {"p": "a"}
    await world.end()


async def test_an_assumption_that_came_true_counts_once_and_leaves_the_queue() -> None:
    world = World()
    world.see(node("a", cpu="1"))
    world.see(pod_object("p", cpu="1"))
    await world.pass_time()
    world.see(pod_object("p", cpu="1", nodeName="a"))
    await world.pass_time()
    assert len(world.scheduler.queue) == 0
    assert world.scheduler.snapshot.used[0].sum() == 1000
    await world.end()


async def test_pods_of_others_deleted_ones_and_gated_ones_are_left_alone() -> None:
    world = World()
    world.see(node("a"))
    world.see(pod_object("foreign", schedulerName="mine"))
    deleted = pod_object("deleted")
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.see(deleted)
    world.see(pod_object("gated", schedulingGates=[{"name": "g"}]))
    await world.pass_time(60)
    assert world.bound == {}
    assert {name: c["reason"] for name, c in world.patched.items()} == {"gated": "SchedulingGated"}
    world.see(pod_object("gated"))
    await world.pass_time()
    assert world.bound == {"gated": "a"}
    await world.end()


async def test_pods_wait_for_the_first_node() -> None:
    world = World()
    world.see(pod_object("p"))
    await world.pass_time(20)
    assert world.patched["p"]["message"] == "no nodes available to schedule pods"
    world.see(node("a", taints=("node.kubernetes.io/not-ready:NoSchedule",)))
    await world.pass_time(20)
    assert "untolerated taint {node.kubernetes.io/not-ready: }" in world.patched["p"]["message"]
    world.see(node("a"))
    await world.pass_time()
    assert world.bound == {"p": "a"}
    await world.end()
