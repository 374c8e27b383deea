"""Pods find nodes: a real scheduler process on a real apiserver. Nodes are objects only; nothing runs on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.builtin import EVENTS, LEASES, NODES, PODS
from api.errors import ServiceUnavailable
from api.meta import Obj, get_condition
from client.http import ApiClient
from tests.harness.apiserver import ApiServer
from tests.harness.eventually import eventually
from tests.harness.process import Process


class Nodes:
    """Nodes that only this test's pods may use, gone when it ends."""

    def __init__(self, ours: ApiClient, namespace: str) -> None:
        self._ours, self._namespace = ours, namespace
        self.names: list[str] = []

    async def add(self, name: str, cpu: str = "4") -> str:
        full = f"{self._namespace}-{name}"[-60:].lstrip("-")
        labels = {"kubernetes.io/hostname": full, "test": self._namespace}
        await self._ours.create(NODES, {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": full, "labels": labels}
        })  # fmt: skip
        self.names.append(full)
        resources = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        status = {"capacity": resources, "allocatable": resources}
        await self._ours.patch(NODES, full, {"status": status}, subresource="status")
        # In place of admission's "not ready": what other tests left unscheduled has no business here.
        taint = {"key": "test", "value": self._namespace, "effect": "NoSchedule"}
        await self._ours.patch(NODES, full, {"spec": {"taints": [taint]}})
        return full

    async def pod(self, name: str, cpu: str = "100m", **spec: Any) -> Obj:
        container = {"name": "c", "image": "example:1", "resources": {"requests": {"cpu": cpu}}}
        metadata = {"name": name, "namespace": self._namespace}
        own = {"nodeSelector": {"test": self._namespace}, "tolerations": [{"key": "test", "value": self._namespace}]}
        return await self._ours.create(PODS, {
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"containers": [container], **own, **spec},
        })  # fmt: skip

    async def placed(self, count: int, within: float = 10.0) -> Counter[str]:
        """Pods per node, once `count` of them have one."""

        async def all_placed() -> Counter[str] | None:
            pods = await self._ours.list(PODS, self._namespace)
            nodes = [p["spec"]["nodeName"] for p in pods["items"] if p["spec"].get("nodeName")]
            return Counter(nodes) if len(nodes) == count else None

        found = await eventually(all_placed, f"{count} pods have a node", within=within)
        assert found is not None
        return found


@pytest.fixture
async def nodes(ours: ApiClient, namespace: str) -> AsyncIterator[Nodes]:
    mine = Nodes(ours, namespace)
    yield mine
    for name in mine.names:
        await ours.delete(NODES, name)


async def test_equal_pods_spread_evenly_and_that_is_told(
    scheduler: Process, nodes: Nodes, ours: ApiClient, namespace: str
) -> None:
    for name in ("a", "b", "c"):
        await nodes.add(name)
    for name in nodes.names:  # nodes and pods come to the scheduler on different watches: it must know all three
        await nodes.pod(f"first-on-{name.rpartition('-')[2]}", nodeSelector={"kubernetes.io/hostname": name})
    await nodes.placed(3)
    await ours.delete_collection(PODS, namespace, grace_period=0)
    for number in range(6):
        await nodes.pod(f"p{number}")
    placed = await nodes.placed(6)
    assert sorted(placed.values()) == [2, 2, 2], placed
    pod = await ours.get(PODS, "p0", namespace)
    scheduled = get_condition(pod, "PodScheduled")
    assert scheduled is not None
    assert scheduled["status"] == "True"

    async def told() -> list[str]:
        events = await ours.list(EVENTS, namespace, fields="reason=Scheduled,involvedObject.name=p0")
        return [e["message"] for e in events["items"]]

    messages = await eventually(told, "there is a Scheduled event")
    assert messages == [f"Successfully assigned {namespace}/p0 to {pod['spec']['nodeName']}"]


async def test_a_pod_too_large_says_why_and_goes_when_a_node_comes(
    scheduler: Process, nodes: Nodes, ours: ApiClient, namespace: str
) -> None:
    await nodes.add("small", cpu="1")
    await nodes.pod("large", cpu="2")

    async def refused() -> str:
        condition = get_condition(await ours.get(PODS, "large", namespace), "PodScheduled") or {}
        return str(condition.get("message", "")) if condition.get("reason") == "Unschedulable" else ""

    message = await eventually(refused, "the pod says why it has no node")
    assert "1 Insufficient cpu" in message
    large = await nodes.add("large", cpu="4")
    assert list(await nodes.placed(1)) == [large]


async def test_the_apiserver_dies_and_the_next_pod_is_placed_within_seconds_of_its_return(
    scheduler: Process, nodes: Nodes, apiserver: ApiServer
) -> None:
    await nodes.add("a")
    apiserver.kill()
    apiserver.start()

    async def created() -> bool:
        try:
            await nodes.pod("after")
        except ServiceUnavailable:  # our own pooled connection died with the server
            return False
        return True

    await eventually(created, "the apiserver takes a pod again")
    await nodes.placed(1, within=10)


async def test_the_scheduler_dies_and_the_next_one_leads_without_waiting_for_the_lease(
    scheduler: Process, nodes: Nodes, ours: ApiClient
) -> None:
    await nodes.add("a")
    await nodes.pod("before")
    await nodes.placed(1)
    first = (await ours.get(LEASES, "kube-scheduler", "kube-system"))["spec"]
    scheduler.restart()
    await nodes.pod("after")
    await nodes.placed(2, within=8)
    second = (await ours.get(LEASES, "kube-scheduler", "kube-system"))["spec"]
    assert second["holderIdentity"] != first["holderIdentity"]
    assert second["leaseTransitions"] == first["leaseTransitions"] + 1
