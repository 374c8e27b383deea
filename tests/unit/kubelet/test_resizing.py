"""In-place resize (KEP-1287): what is granted, what containers are told of it, and how it is told. Texts as in
pkg/kubelet/allocation and pkg/kubelet/events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import meta, quantities
from api.meta import Obj
from kubelet.configuration import Configuration
from kubelet.docker.labels import RESOURCES
from kubelet.docker.runtime import Refused
from kubelet.pods import resize_plan
from kubelet.pods.qos import docker_resources
from kubelet.pods.resize_plan import DEFERRED, Resize
from kubelet.pods.resizing import Resizing
from kubelet.pods.sync.decide import decide
from kubelet.pods.sync.plan import Kill, Memory, StartContainer, Update
from tests.unit.kubelet.pods import NOW, pod, running, sandbox, seen
from tests.unit.kubelet.test_worker_stories import Docker, Node, Recorder, eventually


def amounts(cpu: str, memory: str, limit: str = "") -> Obj:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": limit or cpu, "memory": memory}}


SMALL, LARGE = amounts("100m", "64Mi"), amounts("200m", "128Mi")


def asking(resources: Obj, generation: int = 1, policy: str = "Always", **container: Any) -> Obj:
    made = pod(policy=policy)
    made["metadata"]["generation"] = generation
    made["spec"]["containers"][0] |= {"resources": resources, **container}
    return made


def made_with(resources: Obj) -> Any:
    applied = resize_plan.applied(docker_resources({"resources": resources}))
    return running(resources=json.dumps(resources), applied=applied)


# --- pure --------------------------------------------------------------------------------------------------

NODE = {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110"}}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(amounts("1", "256Mi"), ("", ""), id="fits"),
        pytest.param(
            amounts("1500m", "256Mi"),
            ("Deferred", "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000"),
            id="not now",
        ),
        pytest.param(
            amounts("3", "256Mi"),
            ("Infeasible", "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"),
            id="never",
        ),
        pytest.param(
            amounts("3", "2Gi"),
            ("Infeasible", "Node didn't have enough capacity: memory, requested: 2147483648, capacity: 1073741824"),
            id="never, memory first",
        ),
    ],
)
def test_what_a_node_grants(wanted: Obj, expected: tuple[str, str]) -> None:
    others = [asking(amounts("1", "256Mi"))]
    assert resize_plan.judge(asking(wanted), NODE, others, Configuration()) == expected


def test_amounts_may_be_written_differently() -> None:
    assert resize_plan.same(amounts("1", "1Gi"), amounts("1000m", "1024Mi"))
    assert not resize_plan.same(amounts("1", "1Gi"), amounts("1", "1G"))


def test_what_is_wanted_is_not_yet_granted() -> None:
    wanted = asking(LARGE)
    assert resize_plan.as_granted(wanted, {"app": LARGE}) is wanted
    granted = resize_plan.as_granted(wanted, {"app": SMALL})
    assert granted["spec"]["containers"][0]["resources"] == SMALL
    assert wanted["spec"]["containers"][0]["resources"] == LARGE


def test_only_app_containers_and_sidecars_change() -> None:
    several = pod("app", init=("plain", "sidecar"))
    several["spec"]["initContainers"][1]["restartPolicy"] = "Always"
    assert [c["name"] for c in resize_plan.resizable(several)] == ["sidecar", "app"]


@pytest.mark.parametrize(
    ("wanted", "unmet"),
    [(SMALL, []), (amounts("200m", "64Mi"), ["cpu"]), (amounts("100m", "1Gi"), ["memory"]), (LARGE, ["cpu", "memory"])],
)
def test_what_a_container_lacks(wanted: Obj, unmet: list[str]) -> None:
    assert resize_plan.unmet({"resources": wanted}, made_with(SMALL)) == unmet


@pytest.mark.parametrize("resource", ["cpu", "memory"])
@pytest.mark.parametrize(
    ("wanted", "changed"), [(amounts("200m", "64Mi"), "cpu"), (amounts("100m", "1Gi"), "memory"), (SMALL, "")]
)
def test_a_policy_may_ask_for_a_restart(resource: str, wanted: Obj, changed: str) -> None:
    policy = [{"resourceName": resource, "restartPolicy": "RestartContainer"}]
    spec = {"resources": wanted, "resizePolicy": policy}
    assert resize_plan.needs_restart(spec, made_with(SMALL)) is (resource == changed)


def test_what_a_container_does_not_have_yet_is_told_as_it_was() -> None:
    """kubelet_pods.go convertContainerStatusResources."""
    before = {"resources": SMALL}
    told = resize_plan.container_status({"resources": amounts("200m", "64Mi")}, made_with(SMALL), before)
    assert told == {"resources": SMALL, "allocatedResources": {"cpu": "200m", "memory": "64Mi"}}
    assert resize_plan.container_status({"resources": LARGE}, made_with(LARGE), before)["resources"] == LARGE
    assert resize_plan.container_status({}, made_with({}), {}) == {"resources": {}}


def test_how_an_event_tells_it() -> None:
    expected = (
        'Pod resize Deferred: {"containers":[{"name":"app","resources":{"limits":{"cpu":"100m","memory":"64Mi"},'
        '"requests":{"cpu":"100m","memory":"64Mi"}}}],"generation":2,"error":"no room"}'
    )
    assert resize_plan.summary("Deferred", asking(SMALL), 2, "no room") == expected


def test_who_is_asked_first() -> None:
    """allocation_manager.go sortPendingResizes."""

    def waiting(uid: str, wanted: Obj, granted: Obj, priority: int = 0, since: str = "2026-01-01T00:00:00Z") -> Any:
        made = asking(wanted)
        made["metadata"]["uid"], made["spec"]["priority"] = uid, priority
        made["status"] = {"conditions": [{"type": "PodResizePending", "lastTransitionTime": since}]}
        return made, {"app": granted}

    burstable = amounts("200m", "128Mi", "1")
    assert resize_plan.by_urgency([
        waiting("burstable", burstable, amounts("100m", "128Mi", "1")),
        waiting("late", LARGE, SMALL, since="2026-01-02T00:00:00Z"),
        waiting("early", LARGE, SMALL),
        waiting("important", LARGE, SMALL, 5),
        waiting("less", SMALL, LARGE),
    ]) == ["less", "important", "early", "late", "burstable"]  # fmt: skip


_POLICIES = st.sampled_from(["NotRequired", "RestartContainer"])
_AMOUNTS = st.builds(
    lambda cpu, memory, more: amounts(f"{cpu}m", f"{memory}Mi", f"{cpu + more}m"),
    st.integers(1, 400), st.integers(8, 256), st.integers(0, 100),
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.lists(_AMOUNTS, min_size=2, max_size=5), _POLICIES, _POLICIES, st.data())
def test_containers_come_to_what_was_granted(steps: list[Obj], cpu: str, memory: str, data: st.DataObject) -> None:
    """Whatever is granted in turn, carried out or not: the end is what was granted last, nothing is left to do then,
    and no container is ended that need not be."""
    policy = [{"resourceName": k, "restartPolicy": p} for k, p in (("cpu", cpu), ("memory", memory))]
    box, container, restarts = sandbox(), made_with(steps[0]), 0
    for index, granted in enumerate(steps):
        wanted = asking(granted, resizePolicy=policy)
        for _ in range(3 if index == len(steps) - 1 else data.draw(st.integers(0, 3))):
            plan = decide(wanted, seen(box, container), Memory(), NOW)
            assert decide(wanted, seen(box, container), Memory(), NOW).actions == plan.actions
            for action in plan.actions:
                if isinstance(action, Update):
                    assert container.running and action.container == container
                    container = replace(container, applied=resize_plan.applied(action.resources))
                elif isinstance(action, Kill):
                    assert "RestartContainer" in (cpu, memory)
                    container = replace(container, state="exited", finished_at=NOW)
                else:
                    assert isinstance(action, StartContainer) and not container.running
                    restarts += 1
                    assert action.attempt == restarts
                    container = replace(made_with(granted), attempt=restarts, id=f"app-{restarts}")
    assert not decide(wanted, seen(box, container), Memory(), NOW).actions
    assert container.running and resize_plan.unmet(wanted["spec"]["containers"][0], container) == []


# --- told through a pod's worker ---------------------------------------------------------------------------


class Resizable(Docker):
    """Knows what bounds it holds containers to. They end with 0 when told to; `grudge` refuses an update."""

    grudge = ""

    async def create(self, name: str, config: Mapping[str, Any]) -> str:
        made = await super().create(name, config)
        applied = resize_plan.applied(config["HostConfig"])
        self.there[made] = replace(self.there[made], resources=config["Labels"].get(RESOURCES, ""), applied=applied)
        return made

    async def update(self, container_id: str, resources: Mapping[str, int]) -> None:
        if self.grudge:
            raise Refused(self.grudge)
        self.there[container_id] = replace(self.there[container_id], applied=resize_plan.applied(resources))

    async def kill(self, container_id: str, signal: str) -> None:
        self.end(container_id, 0)


class Story:
    """A node with one pod, which may be resized; `verdict` is what the node says to that."""

    def __init__(self, root: Path, obj: Obj, docker: Resizable | None = None) -> None:
        self.node = Node(root, obj, docker)
        if docker is None:
            self.node.docker = Resizable(self.node.clock)
            self.node = Node(root, obj, self.node.docker, self.node.clock)
        self.verdict = ("", "")
        self.node.shared.judge = lambda _: self.verdict

    @property
    def docker(self) -> Resizable:
        assert isinstance(self.node.docker, Resizable)
        return self.node.docker

    async def begin(self) -> None:
        await self.node.begin()
        await eventually(lambda: "running" in self.node.told().get("state", {}))

    def ask(self, resources: Obj, generation: int = 2) -> None:
        new = meta.copied(self.node.api.stored)
        new["metadata"]["generation"] = generation
        new["spec"]["containers"][0]["resources"] = resources
        self.node.api.stored = new
        self.node.worker.update(new)

    def condition(self, type_: str) -> tuple[str, str, int]:
        found = meta.get_condition({"status": self.node.status}, type_) or {}
        return found.get("reason", ""), found.get("message", ""), found.get("observedGeneration", 0)

    def said(self, reason: str) -> int:
        return sum(m.startswith(reason) for m in self.node.recorder.messages)

    def has(self, attempt: int = 0) -> dict[str, int]:
        return dict(self.docker.there[self.node.name(attempt)].applied or ())


GRANTED = {"CpuShares": 204, "CpuQuota": 20_000, "Memory": 128 << 20}


async def test_a_container_is_resized_where_it_runs(tmp_path: Path) -> None:
    story = Story(tmp_path, asking(SMALL))
    await story.begin()
    assert story.node.told()["resources"] == SMALL
    story.ask(LARGE)
    await eventually(lambda: story.said("ResizeCompleted") == 1 and story.node.told()["resources"] == LARGE)
    assert story.node.told()["allocatedResources"] == LARGE["requests"]
    assert story.has() == GRANTED and story.node.told()["restartCount"] == 0
    assert story.said("ResizeStarted") == 1 and story.condition("PodResizeInProgress") == ("", "", 0)
    await story.node.crash()


async def test_a_container_whose_policy_asks_for_it_starts_again(tmp_path: Path) -> None:
    """Although it ends well and would not be restarted for that; at once, and the pod is not over meanwhile."""
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    story = Story(tmp_path, asking(SMALL, policy="OnFailure", resizePolicy=policy))
    await story.begin()
    story.ask(LARGE)
    await eventually(lambda: story.node.told().get("restartCount") == 1 and "running" in story.node.told()["state"])
    await eventually(lambda: story.said("ResizeCompleted") == 1)
    assert story.has(1) == GRANTED and story.node.status["phase"] == "Running"
    assert any(m.startswith("Killing Container app resize requires restart") for m in story.node.recorder.messages)
    await story.node.crash()


async def test_what_has_no_room_waits_for_it(tmp_path: Path) -> None:
    story = Story(tmp_path, asking(SMALL))
    await story.begin()
    story.verdict = ("Deferred", "no room")
    story.ask(LARGE)
    await eventually(lambda: story.condition("PodResizePending") == ("Deferred", "no room", 2))
    assert story.node.told()["resources"] == SMALL and story.node.told()["allocatedResources"] == SMALL["requests"]
    assert story.node.worker.view["spec"]["containers"][0]["resources"] == SMALL
    story.verdict = ("", "")
    story.node.worker.wake()
    await eventually(lambda: story.said("ResizeCompleted") == 1 and story.node.told()["resources"] == LARGE)
    assert story.condition("PodResizePending") == ("", "", 0) and story.said("ResizeDeferred") == 1
    await story.node.crash()


async def test_what_is_granted_counts_at_once(tmp_path: Path) -> None:
    """Two that are asked in the same moment are not both given the last that is left."""
    room = amounts("1", "64Mi")
    every: list[Resizing] = []

    def judge(pod_: Obj) -> tuple[str, str]:
        granted = (r.granted for r in every if r.granted is not None)
        taken = sum(quantities.millis(g["app"]["requests"]["cpu"]) for g in granted)
        return ("", "") if taken - 100 + 1000 <= 1200 else (DEFERRED, "no room")

    before, after = asking(SMALL), asking(room)
    for name in ("one", "other"):
        every.append(Resizing(Resize(), judge, cast(Any, Recorder()), tmp_path / name))
        await every[-1].consider(before)
    assert sorted(await asyncio.gather(*(resizing.consider(after) for resizing in every))) == [False, True]


async def test_what_cannot_be_kept_is_not_granted(tmp_path: Path) -> None:
    """A kubelet that starts again would take it back."""
    story = Story(tmp_path, asking(SMALL))
    await story.begin()
    obstacle = tmp_path / "pods" / "u-1" / "granted.json"
    obstacle.mkdir()
    story.ask(LARGE)
    why = "the node cannot keep what it grants: Is a directory"
    await eventually(lambda: story.condition("PodResizePending") == ("Deferred", why, 2))
    assert story.node.worker.view["spec"]["containers"][0]["resources"] == SMALL
    obstacle.rmdir()
    story.node.worker.wake()
    await eventually(lambda: story.said("ResizeCompleted") == 1)
    await story.node.crash()


async def test_a_new_kubelet_knows_what_was_granted(tmp_path: Path) -> None:
    """Neither is that taken back, nor is what was asked for in between granted unasked, nor a container restarted."""
    story = Story(tmp_path, asking(SMALL))
    await story.begin()
    story.ask(LARGE)
    await eventually(lambda: story.said("ResizeCompleted") == 1 and story.node.told()["resources"] == LARGE)
    await story.node.crash()
    stored = meta.copied(story.node.api.stored)
    stored["spec"]["containers"][0]["resources"] = amounts("8", "8Gi")
    stored["metadata"]["generation"] = 3
    again = Story(tmp_path, stored, story.docker)
    again.verdict = ("Infeasible", "never")
    await again.begin()
    await eventually(lambda: again.condition("PodResizePending") == ("Infeasible", "never", 3))
    assert again.has() == GRANTED and again.node.told()["resources"] == LARGE
    assert len(again.docker.started) == 2  # the sandbox and the container, by the first kubelet
    await again.node.crash()


async def test_a_kubelet_that_dies_after_granting_is_made_up_for(tmp_path: Path) -> None:
    story = Story(tmp_path, asking(SMALL))
    await story.begin()
    story.docker.grudge = "busy"
    story.ask(LARGE)
    await eventually(lambda: story.condition("PodResizeInProgress")[0] == "Error")
    assert story.condition("PodResizeInProgress") == ("Error", "Error response from daemon: busy", 2)
    assert story.node.told()["resources"] == SMALL and story.said("ResizeError") == 1
    await story.node.crash()
    again = Story(tmp_path, story.node.api.stored, story.docker)
    again.docker.grudge = ""
    await again.begin()
    await eventually(lambda: again.said("ResizeCompleted") == 1)
    assert again.has() == GRANTED and again.said("ResizeStarted") == 0
    await again.node.crash()


async def test_docker_is_asked_again_when_it_refused(tmp_path: Path) -> None:
    story = Story(tmp_path, asking(SMALL))
    await story.begin()
    story.docker.grudge = "busy"
    story.ask(LARGE)
    await eventually(lambda: story.said("ResizeError") == 1)
    story.docker.grudge = ""

    def is_done() -> bool:
        story.node.clock.advance(0.1)
        return story.said("ResizeCompleted") == 1

    await eventually(is_done)
    assert story.has() == GRANTED
    await story.node.crash()
