"""Pods that the node ends or refuses: what is told, what is killed, and what a crash in between leaves."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.meta import Obj, get_condition
from kubelet.pods import verdicts
from kubelet.pods.admission import Rejection
from kubelet.pods.model import Ending
from tests.unit.kubelet.pods import pod
from tests.unit.kubelet.test_worker_stories import Node, eventually

EVICTED = Ending(
    "Evicted", "The node was low on resource: memory.", 3,
    {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "low"},
)  # fmt: skip


def test_a_verdict_is_kept_whole(tmp_path: Path) -> None:
    assert verdicts.kept(tmp_path / "u") is None
    verdicts.keep(tmp_path / "u", EVICTED)
    assert verdicts.kept(tmp_path / "u") == EVICTED
    assert [p.name for p in (tmp_path / "u").iterdir()] == ["ending.json"]


async def hang(container_id: str, signal: str) -> None:
    await asyncio.Event().wait()


def failed(node: Node) -> Callable[[], bool]:
    return lambda: node.status.get("phase") == "Failed"


async def test_a_pod_that_the_node_ends_is_failed_for_that_reason(tmp_path: Path) -> None:
    """eviction_manager.go evictPod: whatever the restart policy; Failed only when nothing runs any more."""
    node = Node(tmp_path, pod())
    await node.begin()
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.worker.end(EVICTED)
    await eventually(failed(node))
    assert (node.status["reason"], node.status["message"]) == (EVICTED.reason, EVICTED.message)
    assert node.told()["state"]["terminated"]["exitCode"] == 143
    condition = get_condition({"status": node.status}, "DisruptionTarget")
    assert condition is not None and condition["reason"] == "TerminationByKubelet"
    assert condition["lastTransitionTime"]
    assert not [c for c in node.docker.there.values() if c.running]
    assert node.name(0) in node.docker.there, "its logs stay until the pod is gone"
    await node.crash()


async def test_a_verdict_outlives_the_kubelet(tmp_path: Path) -> None:
    """kill -9 after the verdict and before the status: the next kubelet finds it, and restarts nothing."""
    node = Node(tmp_path, pod())
    await node.begin()
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.docker.kill = hang  # type: ignore[method-assign]
    node.worker.end(EVICTED)
    await eventually((tmp_path / "pods" / "u-1" / "ending.json").exists)
    await node.crash()
    del node.docker.kill
    node.docker.end(node.name(0), 0)
    again = Node(tmp_path, node.api.stored, node.docker, node.clock)
    await again.begin()
    await eventually(failed(again))
    assert again.status["reason"] == "Evicted"
    assert node.name(1) not in node.docker.there
    await again.crash()


async def test_a_verdict_is_carried_out_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be what frees the disk."""
    node = Node(tmp_path, pod())
    await node.begin()
    await eventually(lambda: "running" in node.told().get("state", {}))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(verdicts, "keep", full)
        node.worker.end(EVICTED)
        await eventually(failed(node))
    assert node.status["reason"] == EVICTED.reason
    node.worker.wake()
    await eventually((tmp_path / "pods" / "u-1" / "ending.json").exists)
    await node.crash()


async def test_a_refused_pod_never_runs(tmp_path: Path) -> None:
    """kubelet.go rejectPod: Failed with the reason, an event with the message, no container statuses."""
    node = Node(tmp_path, pod())

    async def refuse(_: Obj) -> Rejection:
        return Rejection("OutOfcpu", "Node didn't have enough resource: cpu")

    node.shared.admit = refuse
    await node.begin()
    await eventually(failed(node))
    assert (node.status["reason"], node.status["message"]) == (
        "OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu",
    )  # fmt: skip
    assert node.recorder.messages == ["OutOfcpu Node didn't have enough resource: cpu"]
    assert node.status["containerStatuses"] == [] and node.docker.there == {}
    await node.crash()


async def test_what_runs_is_not_refused(tmp_path: Path) -> None:
    """A kubelet that starts again takes its pods as they are."""
    node = Node(tmp_path, pod())
    await node.begin()
    await eventually(lambda: "running" in node.told().get("state", {}))
    await node.crash()
    stored: dict[str, Any] = {**node.api.stored, "status": {}}
    again = Node(tmp_path, stored, node.docker, node.clock)

    async def refuse(_: Obj) -> Rejection:
        return Rejection("OutOfpods", "no")

    again.shared.admit = refuse
    await again.begin()
    await eventually(lambda: again.status.get("phase") == "Running")
    await again.crash()


async def test_pods_of_before_count_before_new_ones_are_judged(tmp_path: Path) -> None:
    """All workers of a kubelet that starts begin at once, in no order."""
    old, new = (
        Node(tmp_path / name, pod(status=status)) for name, status in (("old", {"startTime": "x"}), ("new", {}))
    )
    for node in (old, new):
        await node.begin()
    assert (old.worker.admitted, new.worker.admitted) == (True, False)
    for node in (old, new):
        await node.crash()


async def test_a_pod_past_its_deadline(tmp_path: Path) -> None:
    """active_deadline.go: reason, message and a Normal event."""
    node = Node(tmp_path, pod(activeDeadlineSeconds=30))
    await node.begin()
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.clock.advance(31)
    await eventually(failed(node))
    message = "Pod was active on the node longer than the specified deadline"
    assert (node.status["reason"], node.status["message"]) == ("DeadlineExceeded", message)
    assert f"DeadlineExceeded {message}" in node.recorder.messages
    await node.crash()
