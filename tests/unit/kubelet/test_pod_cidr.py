"""The node's network as its agent has it made: what the disk and the kernel refuse does not end the kubelet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from api.meta import Obj
from client.clock import FakeClock
from client.store import Store
from kubelet.configuration import Configuration
from kubelet.node.agent import NodeAgent
from kubelet.pods.facts import Facts

CIDR = "10.1.2.0/24"


class Node:
    """Docker, the network and the informer of one node."""

    def __init__(self, root: Path, told: str = CIDR) -> None:
        self.store, self.ensured, self.refusals = Store(), list[str](), list[Exception]()
        self.store.put({"metadata": {"name": "one", "uid": "n"}, "spec": {"podCIDR": told} if told else {}})
        node = cast(Any, self)
        facts = Facts(root=root, node_name="one", host_ip="192.0.2.1", configuration=Configuration())
        self.agent = NodeAgent(node, node, node, node, node, facts, node, FakeClock(), port=1, labels={})

    def on_event(self, handler: Any) -> None: ...

    async def engine_version(self) -> tuple[int, ...]:
        return (20, 10)

    async def ping(self) -> None: ...

    async def all(self) -> list[Obj]:
        return []

    async def ensure(self, cidr: str) -> None:
        self.ensured.append(cidr)
        if self.refusals:
            raise self.refusals.pop(0)

    async def start(self) -> bool:
        """Whether the network is ready after a first look."""
        await self.agent._look()
        await self.agent._ensure_network()
        return self.agent.network_ready


async def test_what_was_told_is_known_without_an_apiserver(tmp_path: Path) -> None:
    assert await Node(tmp_path).start()
    after = Node(tmp_path, told="")
    assert await after.start()
    assert after.ensured == [CIDR]
    assert os.listdir(tmp_path) == ["pod-cidr"]


async def test_what_is_kept_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk a kubelet starts nevertheless."""
    await Node(tmp_path).start()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(Path, "write_text", full)
    assert await Node(tmp_path).start()
    assert await Node(tmp_path, told="10.9.0.0/24").start()
    after = Node(tmp_path, told="")
    await after.start()
    assert after.ensured == [CIDR], "a write that failed has lost nothing"


@pytest.mark.parametrize("error", [OSError(105, "No buffer space available"), ValueError("no CIDR")])
async def test_a_network_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path, error: Exception) -> None:
    node = Node(tmp_path)
    node.refusals = [error]
    assert not await node.start()
    assert str(error) in node.agent._why_not_ready()
    assert await node.start()
