"""Quotas for real: two apiservers on one etcd, a controller that recounts, judged by upstream's kubectl.

https://kubernetes.io/docs/concepts/policy/resource-quotas/ ,
https://kubernetes.io/docs/tasks/administer-cluster/manage-resources/
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.builtin import PODS, RESOURCE_QUOTAS
from api.errors import ApiError, Forbidden
from api.meta import Obj
from client.http import ApiClient
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually, eventually_sync
from tests.harness.upstream import Kubectl
from tests.integration.conftest import Start
from tests.integration.manifests import pod, service

_AWAY = (500, 503, 504)


def quota(name: str, hard: dict[str, str], **spec: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard, **spec}}


def used(kubectl: Kubectl, name: str) -> dict[str, str]:
    status = kubectl.run("get", "quota", name, "-o", "json").ok().json.get("status") or {}
    found: dict[str, str] = status.get("used") or {}
    return found


def apply(kubectl: Kubectl, obj: Obj) -> None:
    kubectl.run("apply", "-f", "-", stdin=obj).ok()


def limit(kubectl: Kubectl, name: str, hard: dict[str, str], **spec: Any) -> None:
    """A quota that has been counted, of what nothing is there yet."""
    apply(kubectl, quota(name, hard, **spec))
    eventually_sync(lambda: used(kubectl, name) == dict.fromkeys(hard, "0"), f"{name} is counted")


@pytest.fixture
async def both(
    apiserver: ApiServer, etcd_server: EtcdServer, tmp_path: Path
) -> AsyncIterator[tuple[ApiServer, list[ApiClient]]]:
    """(the second server, clients of the first and of the second)"""
    second = ApiServer(tmp_path / "second", etcd_server)
    clients = [ApiClient(apiserver.admin()), ApiClient(second.admin())]
    try:
        second.start(wait=False)
        await asyncio.to_thread(second.wait_ready)
        yield second, clients
    finally:
        for client in clients:
            await client.close()
        second.stop()


async def make(client: ApiClient, namespace: str, name: str) -> str:
    """How it ended."""
    try:
        await client.create(PODS, pod(name), namespace=namespace)
    except Forbidden as error:
        assert f"exceeded quota: all, requested: pods=1, used: pods={LIMIT}, limited: pods={LIMIT}" in error.message
        return "refused"
    except ApiError as error:
        assert error.code in _AWAY, error.message
        return "lost"
    return "made"


LIMIT = 50


async def test_two_servers_admit_as_many_as_fit(
    both: tuple[ApiServer, list[ApiClient]], namespace: str, start_controller: Start
) -> None:
    """200 at once through two servers against 50, while things go and come; and with a server that is killed."""
    second, clients = both
    controller = start_controller()
    first = clients[0]
    await first.create(RESOURCE_QUOTAS, quota("all", {"pods": str(LIMIT)}), namespace=namespace)

    async def now() -> tuple[int, int]:
        status = (await first.get(RESOURCE_QUOTAS, "all", namespace)).get("status") or {}
        return len((await first.list(PODS, namespace))["items"]), int((status.get("used") or {}).get("pods", -1))

    async def settles(count: int) -> None:
        async def settled() -> bool:
            return await now() == (count, count)

        await eventually(settled, f"{count} pods are there, and counted", within=15)

    async def storm(name: str, count: int) -> Counter[str]:
        return Counter(await asyncio.gather(*(make(clients[n % 2], namespace, f"{name}-{n}") for n in range(count))))

    await settles(0)
    assert await storm("one", 200) == {"made": LIMIT, "refused": 200 - LIMIT}
    assert await now() == (LIMIT, LIMIT)

    async def remove(count: int) -> None:
        names = [item["metadata"]["name"] for item in (await first.list(PODS, namespace))["items"]][:count]
        await asyncio.gather(*(clients[1].delete(PODS, name, namespace, grace_period=0) for name in names))

    await remove(20)
    await settles(LIMIT - 20)
    assert await storm("two", 60) == {"made": 20, "refused": 40}

    controller.stop()
    await remove(40)
    assert await now() == (LIMIT - 40, LIMIT)
    controller.start()
    await settles(LIMIT - 40)
    killed = asyncio.create_task(storm("three", 120))  # while the count may still be under way
    await asyncio.sleep(0.05)
    second.kill()
    outcome = await killed
    there, charged = await now()
    assert LIMIT - 40 + outcome["made"] <= there == charged <= LIMIT
    second.start(wait=False)
    await asyncio.to_thread(second.wait_ready)
    await storm("four", 60)
    assert await now() == (LIMIT, LIMIT)


async def test_what_is_let_in_while_others_go_is_never_too_much(
    both: tuple[ApiServer, list[ApiClient]], namespace: str, start_controller: Start
) -> None:
    """Recounts come in the middle of writes: at no moment are there more than may be."""
    _, clients = both
    start_controller()
    few = 5
    await clients[0].create(RESOURCE_QUOTAS, quota("few", {"pods": str(few)}), namespace=namespace)
    most, turns, stop = 0, Counter[str](), asyncio.Event()

    async def turn(number: int) -> None:
        client, round_ = clients[number % 2], 0
        while not stop.is_set():
            round_ += 1
            name = f"p-{number}-{round_}"
            try:
                await client.create(PODS, pod(name), namespace=namespace)
            except Forbidden:
                turns["refused"] += 1
                await asyncio.sleep(0.02)
                continue
            turns["made"] += 1
            await client.delete(PODS, name, namespace, grace_period=0)

    async def look() -> None:
        nonlocal most
        while not stop.is_set():
            most = max(most, len((await clients[0].list(PODS, namespace))["items"]))

    async def ready() -> bool:
        return bool((await clients[0].get(RESOURCE_QUOTAS, "few", namespace)).get("status", {}).get("used"))

    await eventually(ready, "the quota is counted")
    tasks = [asyncio.create_task(work) for work in (look(), *(turn(n) for n in range(8)))]
    await eventually(lambda: turns["made"] >= 60, "many have come and gone", within=20)
    stop.set()
    await asyncio.gather(*tasks)

    async def empty() -> bool:
        return (await clients[0].get(RESOURCE_QUOTAS, "few", namespace))["status"]["used"] == {"pods": "0"}

    await eventually(empty, "all is given back")
    assert 0 < most <= few
    assert turns["refused"] > 0


def test_objects_of_every_kind_are_counted(kubectl: Kubectl, start_controller: Start) -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#viewing-and-setting-quotas"""
    start_controller()
    hard = "count/deployments.apps=2,count/replicasets.apps=4,count/pods=3,count/secrets=4"
    kubectl.run("create", "quota", "test", f"--hard={hard}").ok()
    eventually_sync(lambda: len(used(kubectl, "test")) == 4, "it is counted")
    kubectl.run("create", "deployment", "nginx", "--image=nginx", "--replicas=2").ok()

    def described() -> bool:
        lines = {tuple(line.split()) for line in kubectl.run("describe", "quota", "test").ok().lines}
        return {
            ("count/deployments.apps", "1", "2"), ("count/pods", "2", "3"), ("count/replicasets.apps", "1", "4"),
            ("count/secrets", "0", "4"),
        } <= lines  # fmt: skip

    eventually_sync(described, "it is described as in the documentation")
    kubectl.run("create", "deployment", "second", "--image=nginx", "--replicas=0").ok()
    refused = kubectl.run("create", "deployment", "third", "--image=nginx").failed().stderr
    assert (
        'deployments.apps "third" is forbidden: exceeded quota: test, requested: count/deployments.apps=1, '
        "used: count/deployments.apps=2, limited: count/deployments.apps=2"
    ) in refused
    kubectl.run("delete", "deployment", "second").ok()
    eventually_sync(lambda: used(kubectl, "test")["count/deployments.apps"] == "1", "what goes is given back")


def test_memory_and_cpu(kubectl: Kubectl, start_controller: Start) -> None:
    """https://kubernetes.io/docs/tasks/administer-cluster/manage-resources/quota-memory-cpu-namespace/"""
    start_controller()
    hard = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.cpu": "2", "limits.memory": "2Gi"}
    limit(kubectl, "mem-cpu-demo", hard)

    def demo(name: str, request: str) -> Obj:
        limits, requests = {"memory": "800Mi", "cpu": "800m"}, {"memory": request, "cpu": "400m"}
        made = pod(name)
        made["spec"]["containers"][0] |= {"resources": {"limits": limits, "requests": requests}}
        return made

    apply(kubectl, demo("quota-mem-cpu-demo", "600Mi"))
    assert used(kubectl, "mem-cpu-demo") == {
        "limits.cpu": "800m", "limits.memory": "800Mi", "requests.cpu": "400m", "requests.memory": "600Mi",
    }  # fmt: skip
    refused = kubectl.run("create", "-f", "-", stdin=demo("quota-mem-cpu-demo-2", "700Mi")).failed().stderr
    assert (
        'pods "quota-mem-cpu-demo-2" is forbidden: exceeded quota: mem-cpu-demo, requested: requests.memory=700Mi, '
        "used: requests.memory=600Mi, limited: requests.memory=1Gi"
    ) in refused
    refused = kubectl.run("create", "-f", "-", stdin=pod("says-nothing")).failed().stderr
    assert (
        "failed quota: mem-cpu-demo: must specify limits.cpu for: main; limits.memory for: main; requests.cpu for: "
        "main; requests.memory for: main"
    ) in refused
    over = demo("dry", "700Mi")
    refused = kubectl.run("create", "--dry-run=server", "-f", "-", stdin=over).failed().stderr
    assert "exceeded quota: mem-cpu-demo" in refused
    kubectl.run("create", "--dry-run=server", "-f", "-", stdin=demo("dry", "100Mi")).ok()
    assert used(kubectl, "mem-cpu-demo")["requests.memory"] == "600Mi"
    more = {"requests": {"cpu": "1200m"}, "limits": {"cpu": "1600m"}}
    patch = json.dumps({"spec": {"containers": [{"name": "main", "resources": more}]}})
    resize = ("patch", "pod", "quota-mem-cpu-demo", "--subresource=resize", "-p", patch)
    refused = kubectl.run(*resize).failed().stderr
    assert "requested: requests.cpu=800m, used: requests.cpu=400m, limited: requests.cpu=1" in refused
    kubectl.run(*resize[:-1], patch.replace("1200m", "900m")).ok()
    found = used(kubectl, "mem-cpu-demo")
    assert (found["requests.cpu"], found["limits.cpu"]) == ("900m", "1600m")
    kubectl.run("delete", "pod", "quota-mem-cpu-demo", "--force", "--grace-period=0").ok()
    eventually_sync(lambda: set(used(kubectl, "mem-cpu-demo").values()) == {"0"}, "what goes is given back")


def test_priority_classes(kubectl: Kubectl, start_controller: Start) -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#resource-quota-per-priorityclass"""
    start_controller()
    for name in ("high", "low"):
        own = kubectl.namespace + name
        scope = {"operator": "In", "scopeName": "PriorityClass", "values": [own]}
        limit(kubectl, f"pods-{name}", {"pods": "10"}, scopeSelector={"matchExpressions": [scope]})
        kubectl.run("create", "priorityclass", own, "--value=10").ok()
    urgent = pod("high-priority")
    urgent["spec"]["priorityClassName"] = kubectl.namespace + "high"
    apply(kubectl, urgent)
    assert (used(kubectl, "pods-high"), used(kubectl, "pods-low")) == ({"pods": "1"}, {"pods": "0"})
    for name in ("high", "low"):
        kubectl.run("delete", "priorityclass", kubectl.namespace + name).ok()


def test_services_and_claims(kubectl: Kubectl, start_controller: Start) -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#storage-resource-quota , …#object-count-quota"""
    start_controller()
    gold = "gold.storageclass.storage.k8s.io/requests.storage"
    hard = {"services.nodeports": "2", "services.loadbalancers": "0", "requests.storage": "3Gi", gold: "1Gi"}
    limit(kubectl, "all", hard)
    refused = kubectl.run("create", "service", "loadbalancer", "lb", "--tcp=80").failed().stderr
    assert "exceeded quota: all, requested: services.loadbalancers=1, used: services.loadbalancers=0" in refused
    apply(kubectl, service("web", 80))
    kubectl.run("patch", "service", "web", "-p", '{"spec":{"type":"NodePort"}}').ok()
    assert used(kubectl, "all")["services.nodeports"] == "1"
    three = {"spec": {"ports": [{"name": f"q{n}", "port": n} for n in (81, 82)]}}
    refused = kubectl.run("patch", "service", "web", "-p", json.dumps(three)).failed().stderr
    assert "exceeded quota: all, requested: services.nodeports=2, used: services.nodeports=1, limited: " in refused
    kubectl.run("patch", "service", "web", "-p", '{"spec":{"type":"ClusterIP"}}').ok()
    eventually_sync(lambda: used(kubectl, "all")["services.nodeports"] == "0", "node ports are given back")

    def claim(name: str, size: str, **spec: Any) -> Obj:
        resources = {"requests": {"storage": size}}
        spec = {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}

    apply(kubectl, claim("plain", "2Gi", storageClassName=""))
    apply(kubectl, claim("golden", "1Gi", storageClassName="gold"))
    assert (used(kubectl, "all")["requests.storage"], used(kubectl, "all")[gold]) == ("3Gi", "1Gi")
    refused = kubectl.run("create", "-f", "-", stdin=claim("more", "1Gi", storageClassName="gold")).failed().stderr
    assert (
        f"exceeded quota: all, requested: {gold}=1Gi,requests.storage=1Gi, used: {gold}=1Gi,requests.storage=3Gi, "
        f"limited: {gold}=1Gi,requests.storage=3Gi"
    ) in refused


def test_a_deployment_grows_as_far_as_it_may(kubectl: Kubectl, start_controller: Start) -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#how-kubernetes-resourcequotas-work"""
    start_controller()
    limit(kubectl, "two", {"pods": "2"})
    kubectl.run("create", "deployment", "web", "--image=nginx", "--replicas=4").ok()

    def stuck() -> bool:
        conditions = kubectl.run("get", "deployment", "web", "-o", "json").ok().json["status"].get("conditions") or []
        failure = [c for c in conditions if c["type"] == "ReplicaFailure" and c["reason"] == "FailedCreate"]
        return bool(failure) and "exceeded quota: two, requested: pods=1, used: pods=2" in failure[0]["message"]

    eventually_sync(stuck, "the deployment tells why")
    assert len(kubectl.run("get", "pods", "-o", "name").ok().lines) == 2
    kubectl.run("patch", "quota", "two", "-p", '{"spec":{"hard":{"pods":"4"}}}').ok()
    eventually_sync(lambda: used(kubectl, "two") == {"pods": "4"}, "it goes on", within=30)
