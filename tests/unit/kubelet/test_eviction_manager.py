"""Eviction as a story: signals are read, what nobody uses goes first, then one pod at a time, and the node says so."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.meta import Obj
from client.clock import FakeClock
from kubelet.configuration import API_VERSION, KIND, parse
from kubelet.eviction.manager import Evictions
from kubelet.eviction.pressure import Observation
from kubelet.pods.model import Container, Ending, PodContainers
from kubelet.stats.model import DiskUsage, Look, PodUsage, Reading
from kubelet.volumes.usage import Usage

NODE: Obj = {"kind": "Node", "metadata": {"name": "n"}}


def pod(name: str, **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {"containers": [{"name": "c"}], **spec},
        "status": {"phase": "Running"},
    }


class World:
    """A node with as much left as a test says, whose pods end when they are told to."""

    def __init__(self, *pods: Obj) -> None:
        self.pods = {p["metadata"]["uid"]: p for p in pods}
        self.left: dict[str, int] = {"memory.available": 100, "nodefs.available": 100}
        self.used: dict[str, int] = {}
        self.ended: list[tuple[str, Ending]] = []
        self.events: list[tuple[str, str]] = []
        self.annotations: dict[str, str] = {}
        self.reclaims = 0
        self.full = False
        self.gained = 0
        self.changes = 0
        self.images, self.root, self.image_filesystem = None, Path("/"), False

    # Signals.

    def observe(self) -> dict[str, Observation]:
        return {signal: Observation(left, 100) for signal, left in self.left.items()}

    # Stats.

    async def look(self) -> Look:
        def of(uid: str) -> PodUsage:
            container = Container("id", uid, uid, "ns", "c", 0, "running")
            return PodUsage(None, {"c": (container, Reading(memory=self.used.get(uid, 0)))})

        return Look(datetime.now(UTC), 0.0, Reading(), {uid: of(uid) for uid in self.pods})

    async def disk(self, uids: Iterable[str]) -> dict[str, DiskUsage]:
        return {uid: DiskUsage({"c": Usage(self.used.get(uid, 0), 1)}, {"c": Usage(0, 1)}, {}) for uid in uids}

    # Pods and their containers.

    def all(self) -> list[Obj]:
        return list(self.pods.values())

    def end(self, uid: str, ending: Ending) -> bool:
        self.ended.append((uid, ending))
        self.pods[uid] = {**self.pods[uid], "status": {"phase": "Failed"}}
        return True

    def of_pod(self, _: str) -> PodContainers:
        return PodContainers()

    # The recorder.

    def event(self, obj: Obj, type_: str, reason: str, message: str, *, annotations: Any = None) -> None:
        self.events.append((obj["metadata"]["name"], reason))
        self.annotations = annotations or self.annotations

    # What else it is given.

    async def image_root(self) -> Path:
        return Path("/")

    async def reclaim(self) -> None:
        self.reclaims += 1
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left["nodefs.available"] += self.gained

    def changed(self) -> None:
        self.changes += 1


def evictions(world: Any, clock: FakeClock | None = None, **fields: Any) -> Evictions:
    hard = {"memory.available": "50", "nodefs.available": "50"}
    return Evictions(
        world, world.image_root, world, world, world, world, NODE,
        parse({"apiVersion": API_VERSION, "kind": KIND, "evictionHard": hard, **fields}), clock or FakeClock(),
        reclaim=[world.reclaim], changed=world.changed,
    )  # fmt: skip


def names(world: World) -> list[str]:
    return [uid for uid, _ in world.ended]


async def test_nothing_happens_to_a_node_that_has_enough() -> None:
    world = World(pod("a"))
    assert await evictions(world).synchronize() == []
    assert (world.ended, world.events, world.changes, world.reclaims) == ([], [], 1, 0), "but it says so once"


async def test_one_pod_goes_at_a_time_and_critical_ones_stay() -> None:
    world = World(pod("critical", priority=2_000_000_000), pod("much"), pod("little"))
    world.left["memory.available"], world.used = 10, {"critical": 90, "much": 60, "little": 30}
    manager = evictions(world)
    assert [p["metadata"]["name"] for p in await manager.synchronize()] == ["much"]
    assert manager.conditions == {"MemoryPressure"} and world.changes == 1
    ending = world.ended[0][1]
    assert (ending.reason, ending.grace, (ending.condition or {})["reason"]) == ("Evicted", 1, "TerminationByKubelet")
    assert world.events == [("n", "EvictionThresholdMet"), ("much", "Evicted")]
    assert world.annotations["starved_resource"] == "memory" and world.annotations["offending_containers"] == "c"
    await manager.synchronize()
    assert await manager.synchronize() == [], "nobody is left but who may not go"
    assert names(world) == ["much", "little"] and world.changes == 1
    assert world.reclaims == 0, "images give back no memory"


async def test_no_pod_goes_when_reclaiming_was_enough() -> None:
    world = World(pod("a"))
    world.left["nodefs.available"], world.gained = 10, 60
    manager = evictions(world)
    assert await manager.synchronize() == []
    assert (world.reclaims, world.ended, manager.conditions) == (1, [], {"DiskPressure"})


async def test_a_pod_goes_when_reclaiming_was_not_enough() -> None:
    world = World(pod("little"), pod("much"))
    world.left["nodefs.available"], world.gained, world.used = 10, 60, {"little": 1, "much": 9}
    manager = evictions(world, evictionMinimumReclaim={"nodefs.available": "30"})
    await manager.synchronize()
    assert (world.reclaims, names(world)) == (1, ["much"])


async def test_a_pod_goes_when_nothing_can_be_reclaimed() -> None:
    """What the full disk itself keeps from being freed."""
    world = World(pod("a"))
    world.left["nodefs.available"], world.full = 10, True
    await evictions(world).synchronize()
    assert (world.reclaims, names(world)) == (1, ["a"])


async def test_the_node_file_system_gains_nothing_from_images_that_lie_elsewhere() -> None:
    world = World(pod("a"))
    world.image_filesystem, world.left["nodefs.available"] = True, 10
    await evictions(world).synchronize()
    assert (world.reclaims, names(world)) == (0, ["a"])


@pytest.mark.parametrize(("own", "grace"), [(None, 20), (5, 5), (90, 20)])
async def test_a_soft_eviction_leaves_time(own: int | None, grace: int) -> None:
    clock = FakeClock()
    world = World(pod("a", terminationGracePeriodSeconds=own))
    soft = {"evictionSoft": {"memory.available": "90"}, "evictionSoftGracePeriod": {"memory.available": "30s"}}
    manager = evictions(world, clock, evictionMaxPodGracePeriod=20, **soft)
    world.left["memory.available"] = 80
    assert await manager.synchronize() == []
    clock.advance(30)
    await manager.synchronize()
    assert world.ended[0][1].grace == grace


async def test_a_pod_above_its_own_limits_goes_from_a_node_that_has_enough() -> None:
    greedy = pod("greedy")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "5"}}
    world = World(greedy, pod("other"))
    world.used = {"greedy": 6, "other": 600}
    await evictions(world).synchronize()
    assert names(world) == ["greedy"] and world.ended[0][1].condition is None


async def test_limits_may_be_let_be() -> None:
    greedy = pod("greedy")
    greedy["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "5"}}
    world = World(greedy)
    world.used = {"greedy": 6}
    await evictions(world, localStorageCapacityIsolation=False).synchronize()
    assert names(world) == []


RESERVED = {"kubeReserved": {"memory": "20"}, "systemReserved": {"memory": "20"}}


@pytest.mark.parametrize(
    ("fields", "used", "gone"),
    [
        (RESERVED, 10, False),
        (RESERVED, 11, True),
        ({**RESERVED, "enforceNodeAllocatable": ["none"]}, 99, False),
        ({}, 99, False),
    ],
    ids=["within", "above", "not enforced", "nothing is reserved"],
)
async def test_pods_together_keep_to_what_is_allocatable(fields: Any, used: int, gone: bool) -> None:
    """Of 100, 40 are reserved, and 50 are to be left by the threshold. addAllocatableThresholds in helpers.go."""
    world = World(pod("a"))
    world.used = {"a": used}
    await evictions(world, **fields).synchronize()
    assert names(world) == ["a"] * gone


async def test_who_filled_the_node_through_its_hosts_file_goes_first() -> None:
    class Filled(World):
        async def disk(self, uids: Iterable[str]) -> dict[str, DiskUsage]:
            found = await super().disk(uids)
            return {uid: replace(of, own_files=Usage(90 if uid == "b" else 1, 1)) for uid, of in found.items()}

    world = Filled(pod("a"), pod("b"), pod("c"))
    world.left["nodefs.available"] = 10
    await evictions(world).synchronize()
    assert names(world) == ["b"]
