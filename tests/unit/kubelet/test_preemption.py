"""Who makes room for a critical pod. Source: pkg/kubelet/preemption/preemption_test.go and its rules."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from api.meta import Obj
from client.clock import FakeClock, settle
from kubelet.pods.admission import Rejection, requested
from kubelet.pods.model import Ending
from kubelet.pods.preemption import Preemption, chosen
from tests.unit.kubelet.pods import pod

CRITICAL = 2_000_000_000


def asking(name: str, cpu: str = "", memory: str = "", *, most: bool = False, **spec: Any) -> Obj:
    """`most`: its limits are its requests, so it is guaranteed."""
    amounts = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    resources = {"requests": amounts, **({"limits": amounts} if most else {})}
    made = pod(containers=[{"name": "app", "resources": resources}], **spec)
    made["metadata"] |= {"name": name, "uid": name}
    return made


BEST = asking("best")
BURST, BIG_BURST = asking("burst", "100m", "100Mi"), asking("big-burst", "300m", "300Mi")
GUARANTEED, BIG_GUARANTEED = asking("g", "100m", "100Mi", most=True), asking("big-g", "300m", "300Mi", most=True)
ALL = [GUARANTEED, BEST, BIG_BURST, BURST, BIG_GUARANTEED]
MI = 1 << 20
CHOICES: dict[str, tuple[list[Obj], dict[str, int], list[str]]] = {
    "one pod of those that ask for nothing": (ALL, {"pods": 1}, ["best"]),
    "the one that fits": (ALL, {"cpu": 50}, ["burst"]),
    "the one that fits better": (ALL, {"memory": 200 * MI}, ["big-burst"]),
    "both": (ALL, {"memory": 350 * MI}, ["big-burst", "burst"]),
    "a guaranteed one only when the others are not enough": (
        ALL, {"cpu": 450}, ["big-burst", "burst", "g"],
    ),
    "a large one": (ALL, {"cpu": 700}, ["big-burst", "burst", "big-g"]),
    "all are not enough": (ALL, {"cpu": 900}, []),
    "of two that come as close the smaller": ([BIG_BURST, BURST], {"pods": 1}, ["burst"]),
    "two resources at once": ([asking("a", "200m"), asking("b", "", "1Gi"), BURST], {"cpu": 100, "memory": MI}, ["burst"]),
    "one no less critical stays": ([asking("c", "1", priority=CRITICAL)], {"cpu": 1}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CHOICES, ids=str)
def test_chosen(case: str) -> None:
    others, lacking, names = CHOICES[case]
    going = chosen(asking("new", priority=CRITICAL), others, lacking)
    assert [other["metadata"]["name"] for other in going] == names


def test_a_pod_goes_for_one_of_higher_priority_or_a_static_one() -> None:
    low, high = asking("low", "1", priority=CRITICAL), asking("high", priority=CRITICAL + 1)
    static = asking("static", priority=CRITICAL)
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    assert [bool(chosen(new, [low], {"cpu": 1})) for new in (high, static, asking("same", priority=CRITICAL))] == [
        True, True, False,
    ]  # fmt: skip


class Pods:
    """Those of a node with 1 cpu. Who is told to end does so when `let_end` is called."""

    def __init__(self, *there: Obj) -> None:
        self.there = {pod["metadata"]["uid"]: pod for pod in there}
        self.ending: dict[str, Ending] = {}

    def admitted(self, besides: str) -> list[Obj]:
        return [pod for uid, pod in self.there.items() if uid != besides]

    def end(self, uid: str, ending: Ending) -> bool:
        self.ending[uid] = ending
        return True

    def let_end(self) -> None:
        for uid in self.ending:
            self.there.pop(uid, None)

    def judge(self, pod: Obj) -> Rejection | None:
        over = requested(pod, "cpu") + sum(requested(other, "cpu") for other in self.there.values()) - 1000
        return Rejection("OutOfcpu", "", {"cpu": over}) if over > 0 else None


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def event(self, pod: Obj, type_: str, reason: str, message: str) -> None:
        self.events.append((pod["metadata"]["name"], reason, message))


def preemption(pods: Pods) -> tuple[Preemption, Told, FakeClock]:
    told, clock = Told(), FakeClock()
    return Preemption(pods.judge, cast(Any, pods), cast(Any, told), clock), told, clock


async def test_a_critical_pod_is_taken_when_the_others_have_ended() -> None:
    pods = Pods(asking("a", "800m"), asking("b", "100m"))
    made, told, clock = preemption(pods)
    asked = asyncio.create_task(made.admit(asking("new", "500m", priority=CRITICAL)))
    await settle()
    assert told.events == [("a", "Preempting", "Preempted in order to admit critical pod")]
    assert pods.ending["a"].condition == {
        "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
        "message": "Pod was preempted by Kubelet to accommodate a critical pod.",
    }  # fmt: skip
    await clock.run_for(5)
    assert not asked.done()
    pods.let_end()
    await clock.run_for(1)
    assert asked.done() and asked.result() is None and list(pods.there) == ["b"]


async def test_who_takes_the_room_meanwhile_goes_too() -> None:
    pods = Pods(asking("a", "800m"))
    made, told, clock = preemption(pods)
    asked = asyncio.create_task(made.admit(asking("new", "500m", priority=CRITICAL)))
    await settle()
    pods.let_end()
    pods.there["late"] = asking("late", "600m")
    await clock.run_for(1)
    pods.let_end()
    await clock.run_for(1)
    assert asked.done() and asked.result() is None
    assert [name for name, *_ in told.events] == ["a", "late"]


async def test_two_critical_pods_do_not_count_on_the_same_room() -> None:
    pods = Pods(asking("a", "500m"), asking("b", "500m"))
    made, _, clock = preemption(pods)

    async def arrive(new: Obj) -> None:
        assert await made.admit(new) is None
        pods.there[new["metadata"]["uid"]] = new

    both = [asyncio.create_task(arrive(asking(name, "400m", priority=CRITICAL))) for name in ("one", "two")]
    for _ in range(4):
        await clock.run_for(1)
        pods.let_end()
    await asyncio.wait_for(asyncio.gather(*both), 5)
    assert sorted(pods.there) == ["one", "two"]


async def test_one_that_does_not_end_is_waited_for_only_so_long() -> None:
    pods = Pods(asking("a", "800m", terminationGracePeriodSeconds=40))
    made, _, clock = preemption(pods)
    asked = asyncio.create_task(made.admit(asking("new", "500m", priority=CRITICAL)))
    await clock.run_for(59)
    assert not asked.done()
    await clock.run_for(2)
    assert asked.result() == Rejection("OutOfcpu", "", {"cpu": 300})


async def test_others_are_refused_at_once_and_nobody_goes() -> None:
    pods = Pods(asking("a", "800m"))
    made, told, _ = preemption(pods)
    refused = await made.admit(asking("new", "500m", priority=CRITICAL - 1))
    assert refused is not None and not told.events
    hopeless = await made.admit(asking("new", "5", priority=CRITICAL))
    assert hopeless is not None and not told.events
