"""What is left of pods that nobody knows any more."""

from __future__ import annotations

from typing import Any, cast

import pytest

from client.clock import FakeClock
from kubelet.pods.model import PodContainers
from kubelet.pods.pods import Pods


class LeftOver:
    """An informer that knows no pod, a Docker that runs none, and directories of two."""

    def __init__(self) -> None:
        self.torn_down: list[str] = []

    def add_indexer(self, *_: Any) -> None: ...

    def on_event(self, *_: Any) -> None: ...

    def pods(self) -> list[str]:
        return []

    def of_pod(self, _: str) -> PodContainers:
        return PodContainers()

    def known_pods(self) -> list[str]:
        return ["bad", "good"]

    async def tear_down(self, uid: str) -> None:
        self.torn_down.append(uid)
        if uid == "bad":
            raise RecursionError("maximum recursion depth exceeded")


async def test_what_one_pod_left_keeps_no_other_from_being_removed(capsys: pytest.CaptureFixture[str]) -> None:
    world = LeftOver()
    everything = cast(Any, world)
    await Pods(everything, everything, everything, everything, FakeClock())._clean()
    assert world.torn_down == ["bad", "good"]
    assert "volumes left behind" in "".join(capsys.readouterr())
