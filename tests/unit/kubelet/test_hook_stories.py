"""Hooks and stops told through the real worker, on a Docker of a few lines and commands that wait to be let go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.meta import Obj
from client.clock import settle
from tests.unit.kubelet.pods import deleted, pod
from tests.unit.kubelet.test_worker_stories import Node, eventually


def hooked(kind: str, code: int, **spec: Any) -> Obj:
    hook = {"exec": {"command": ["hook", str(code)]}}
    containers = [
        {"name": "app", "image": "busybox:1", "lifecycle": {kind: hook}},
        {"name": "next", "image": "busybox:1"},
    ]
    return pod(containers=containers, **spec)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[list[Node]]:
    made: list[Node] = []
    yield made
    for node in made:
        await node.crash()


async def begin(made: list[Node], root: Path, obj: Obj, *, held: bool = False) -> Node:
    node = Node(root, obj)
    made.append(node)
    if held:
        node.commands.held.clear()
    await node.begin()
    return node


def told(node: Node, reason: str) -> list[str]:
    return [m for m in node.recorder.messages if m.startswith(reason)]


def state(node: Node, name: str) -> Obj:
    found: Obj = node.told(name).get("state") or {}
    return found


async def test_the_next_container_waits_for_the_hook_of_the_first(make: list[Node], tmp_path: Path) -> None:
    """kuberuntime_container.go, startContainer: step 4 is the hook; SyncPod goes on to the next after it."""
    node = await begin(make, tmp_path, hooked("postStart", 0), held=True)
    await eventually(lambda: node.commands.ran == ["hook 0"])
    await settle()
    assert len(node.docker.started) == 2 and node.status.get("phase", "Pending") == "Pending"
    assert "running" not in state(node, "app")
    node.commands.held.set()
    await eventually(lambda: node.status["phase"] == "Running")
    assert len(node.docker.started) == 3 and node.commands.ran == ["hook 0"]


async def test_a_failed_hook_ends_its_container_and_holds_up_no_other(make: list[Node], tmp_path: Path) -> None:
    node = await begin(make, tmp_path, hooked("postStart", 4))
    await eventually(lambda: state(node, "app").get("waiting", {}).get("reason") == "CrashLoopBackOff")
    assert told(node, "FailedPostStartHook")[0] == "FailedPostStartHook PostStartHook failed"
    assert told(node, "Killing")[0] == "Killing FailedPostStartHook"
    assert "running" in state(node, "next")
    assert node.commands.ran == ["hook 4", "hook 4"], "it was restarted once at once"


async def test_a_failed_hook_without_restarts_fails_the_container(make: list[Node], tmp_path: Path) -> None:
    node = await begin(make, tmp_path, hooked("postStart", 4, policy="Never"))
    await eventually(lambda: "terminated" in state(node, "app") and "running" in state(node, "next"))
    assert node.commands.ran == ["hook 4"]


async def test_a_pod_whose_hook_hangs_can_be_deleted(make: list[Node], tmp_path: Path) -> None:
    node = await begin(make, tmp_path, hooked("postStart", 0), held=True)
    await eventually(lambda: bool(node.commands.ran))
    node.worker.update(deleted(node.api.stored))
    await eventually(lambda: node.done)
    assert len(node.docker.started) == 2 and not told(node, "FailedPostStartHook")


async def test_a_second_deletion_shortens_the_first_and_repeats_nothing(make: list[Node], tmp_path: Path) -> None:
    """Its grace counts from when it was given. The hook of the first goes on; at least two seconds are left for the
    signal."""
    node = await begin(make, tmp_path, hooked("preStop", 0))
    await eventually(lambda: node.status.get("phase") == "Running")
    node.commands.held.clear()
    node.docker.deaf = True
    node.worker.update(deleted(node.api.stored, 600))
    await eventually(lambda: node.commands.ran == ["hook 0"])
    await node.clock.run_for(100)
    app = node.name(0)
    assert node.docker.there[app].running and app not in node.docker.signals
    node.worker.update(deleted(node.api.stored, 5))
    await settle()
    await node.clock.run_for(4.5)
    assert app not in node.docker.signals
    await node.clock.run_for(0.6)
    assert node.docker.signals[app] == ["SIGTERM"]
    await node.clock.run_for(1.8)
    assert node.docker.signals[app] == ["SIGTERM"]
    await node.clock.run_for(0.3)
    await eventually(lambda: node.docker.signals[app] == ["SIGTERM", "SIGKILL"])
    node.commands.held.set()
    await eventually(lambda: node.done)
    assert node.commands.ran == ["hook 0"]
    assert told(node, "Killing").count("Killing Stopping container app") == 1


async def test_a_failed_probe_runs_the_hook_too_within_its_own_grace(make: list[Node], tmp_path: Path) -> None:
    """core/v1, Lifecycle.preStop: "an API request or management event such as liveness/startup probe failure"."""
    probe = {"exec": {"command": ["probe", "1"]}, "failureThreshold": 1, "terminationGracePeriodSeconds": 4}
    wanted = hooked("preStop", 0, terminationGracePeriodSeconds=600)
    wanted["spec"]["containers"][0]["livenessProbe"] = probe
    node = await begin(make, tmp_path, wanted)
    await eventually(lambda: node.status.get("phase") == "Running")
    node.docker.deaf = True
    await node.clock.run_for(0.1)
    await eventually(lambda: node.commands.ran == ["probe 1", "hook 0"])
    app = node.name(0)
    await eventually(lambda: node.docker.signals.get(app) == ["SIGTERM"])
    await node.clock.run_for(4.1)
    await eventually(lambda: node.docker.signals[app] == ["SIGTERM", "SIGKILL"])
    await eventually(lambda: node.name(1) in node.docker.started)
    assert told(node, "Killing")[0] == "Killing Container app failed liveness probe, will be restarted"


async def test_sidecars_hear_of_the_end_at_once_and_go_last(make: list[Node], tmp_path: Path) -> None:
    """KEP-753: preStop hooks of all run when the pod is to end; the signal waits for those that are served."""
    hook = {"preStop": {"exec": {"command": ["side", "0"]}}}
    side = {"name": "side", "image": "busybox:1", "restartPolicy": "Always", "lifecycle": hook}
    node = await begin(make, tmp_path, pod(initContainers=[side]))
    await eventually(lambda: node.status.get("phase") == "Running")
    node.docker.deaf = True
    node.worker.update(deleted(node.api.stored, 30))
    await eventually(lambda: node.commands.ran == ["side 0"] and node.docker.signals == {node.name(0): ["SIGTERM"]})
    node.docker.end(node.name(0), 0)
    await eventually(lambda: node.docker.signals.get(node.name(0, "side")) == ["SIGTERM"])
    node.docker.end(node.name(0, "side"), 0)
    await eventually(lambda: node.done)


async def test_a_daemon_that_is_away_ends_the_container_later_and_runs_no_hook_twice(
    make: list[Node], tmp_path: Path
) -> None:
    node = await begin(make, tmp_path, hooked("preStop", 0))
    await eventually(lambda: node.status.get("phase") == "Running")
    node.docker.away = True
    node.worker.update(deleted(node.api.stored))
    await eventually(lambda: len(node.commands.ran) == 1)
    await node.clock.run_for(7)
    assert node.docker.there[node.name(0)].running
    node.docker.away = False
    await node.clock.run_for(3)
    await eventually(lambda: node.done)
    assert node.commands.ran == ["hook 0"] and told(node, "Killing").count("Killing Stopping container app") == 1


async def test_a_failed_pre_stop_hook_is_told_without_its_words(make: list[Node], tmp_path: Path) -> None:
    node = await begin(make, tmp_path, hooked("preStop", 3))
    await eventually(lambda: node.status.get("phase") == "Running")
    node.worker.update(deleted(node.api.stored))
    await eventually(lambda: node.done)
    assert told(node, "FailedPreStopHook") == ["FailedPreStopHook PreStopHook failed"]
    assert node.docker.signals[node.name(0)] == ["SIGTERM"]
