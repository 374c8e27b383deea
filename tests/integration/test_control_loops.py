"""The control loops for real: a controller process on a real apiserver, judged by the upstream kubectl.

Nodes are objects and their kubelet is a few lines here: pods that are bound become ready, pods that are told to
end are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from api import meta
from api.builtin import ENDPOINT_SLICES, LEASES, NODES, PODS, REPLICA_SETS
from api.errors import ApiError, NotFound
from api.meta import Obj
from client.http import ApiClient
from tests.harness.eventually import eventually
from tests.harness.upstream import Kubectl, Result
from tests.integration import manifests
from tests.integration.conftest import Start


class Kubelets:
    """One test's nodes and what happens to the pods of its namespace on them. `silent` nodes do nothing."""

    def __init__(self, ours: ApiClient, namespace: str, count: int) -> None:
        self._ours, self._namespace = ours, namespace
        self.nodes = [f"{namespace}-n{i}"[-50:].lstrip("-") for i in range(count)]
        self.silent: set[str] = set()
        self._turn = 0

    async def run(self) -> None:
        while True:
            for name in self.nodes:
                await self._quietly(self._beat(name))
            for pod in (await self._ours.list(PODS, self._namespace))["items"]:
                await self._quietly(self._tend(pod))
            await asyncio.sleep(0.1)

    async def _quietly(self, call: Any) -> None:
        try:
            await call
        except ApiError:
            return  # it changed under us: the next round sees how

    async def _beat(self, name: str) -> None:
        if name in self.silent:
            return
        try:
            node = await self._ours.get(NODES, name)
        except NotFound:
            node = await self._ours.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        if not meta.is_condition_true(node, "Ready"):
            await self._ours.patch(NODES, name, {"status": {"conditions": [_true("Ready")]}}, subresource="status")
        spec = {"holderIdentity": name, "renewTime": meta.rfc3339_micro(datetime.now(UTC))}
        try:
            await self._ours.patch(LEASES, name, {"spec": spec}, namespace="kube-node-lease")
        except NotFound:
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            await self._ours.create(LEASES, lease, namespace="kube-node-lease")

    async def _tend(self, pod: Obj) -> None:
        name, node = meta.name(pod), pod["spec"].get("nodeName")
        if node in self.silent:
            return
        if meta.is_deleting(pod):
            await self._ours.delete(PODS, name, self._namespace, grace_period=0, uid=meta.uid(pod))
        elif not node:
            able = [n for n in self.nodes if n not in self.silent]
            self._turn += 1
            target = {"kind": "Node", "name": able[self._turn % len(able)]}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            await self._ours.create(PODS, binding, namespace=self._namespace, name=name, subresource="binding")
        elif pod["status"]["phase"] == "Pending" and pod["spec"]["containers"][0]["image"] != "broken":
            containers = [{"name": c["name"], "image": c["image"], "imageID": "", "ready": True, "restartCount": 0,
                           "state": {"running": {}}} for c in pod["spec"]["containers"]]  # fmt: skip
            conditions = [_true(type_) for type_ in ("Ready", "ContainersReady", "Initialized", "PodScheduled")]
            ip = f"10.1.{self._turn // 250 % 250}.{hash(name) % 250 + 1}"
            status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions,
                      "containerStatuses": containers}  # fmt: skip
            await self._ours.patch(PODS, name, {"status": status}, namespace=self._namespace, subresource="status")


def _true(type_: str) -> Obj:
    return {"type": type_, "status": "True", "lastTransitionTime": meta.rfc3339(datetime.now(UTC))}


@pytest.fixture
async def kubelets(ours: ApiClient, namespace: str) -> AsyncIterator[Kubelets]:
    mine = Kubelets(ours, namespace, 3)
    running = asyncio.ensure_future(mine.run())
    yield mine
    running.cancel()
    await asyncio.wait({running})
    for name in mine.nodes:
        for resource, where in ((NODES, ""), (LEASES, "kube-node-lease")):
            try:
                await ours.delete(resource, name, where)
            except NotFound:
                continue


async def _run(kubectl: Kubectl, *arguments: str, stdin: Any = "") -> Result:
    """kubectl in a thread: the kubelets go on meanwhile."""
    return await asyncio.to_thread(kubectl.run, *arguments, stdin=stdin)


async def _names(ours: ApiClient, resource: Any, namespace: str) -> set[str]:
    return {meta.name(o) for o in (await ours.list(resource, namespace))["items"] if not meta.is_deleting(o)}


async def _roll_out(kubectl: Kubectl, manifest: Obj) -> None:
    (await _run(kubectl, "apply", "-f", "-", stdin=manifest)).ok()
    (await _run(kubectl, "rollout", "status", f"deploy/{manifest['metadata']['name']}", "--timeout=20s")).ok()


async def test_upstream_kubectl_rolls_out_undoes_pauses_and_restarts(
    start_controller: Start, kubelets: Kubelets, kubectl: Kubectl, ours: ApiClient, namespace: str
) -> None:
    start_controller()
    await _roll_out(kubectl, manifests.deployment("web", 3))
    (first,) = await _names(ours, REPLICA_SETS, namespace)

    async def done() -> Result:
        return (await _run(kubectl, "rollout", "status", "deploy/web", "--timeout=20s")).ok()

    (await _run(kubectl, "set", "image", "deploy/web", "main=busybox:2")).ok()
    assert (await done()).lines[-1] == 'deployment "web" successfully rolled out'
    history = (await _run(kubectl, "rollout", "history", "deploy/web")).ok().stdout
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    (await _run(kubectl, "rollout", "undo", "deploy/web")).ok()
    await done()
    assert (await ours.get(REPLICA_SETS, first, namespace))["spec"]["replicas"] == 3
    history = (await _run(kubectl, "rollout", "history", "deploy/web")).ok().stdout
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]

    (await _run(kubectl, "rollout", "pause", "deploy/web")).ok()
    (await _run(kubectl, "set", "image", "deploy/web", "main=busybox:3")).ok()
    (await _run(kubectl, "scale", "deploy/web", "--replicas=5")).ok()

    async def scaled() -> bool:
        return (await ours.get(REPLICA_SETS, first, namespace))["spec"]["replicas"] == 5

    await eventually(scaled, "a paused deployment is still scaled")
    (await _run(kubectl, "rollout", "resume", "deploy/web")).ok()
    await done()
    (await _run(kubectl, "rollout", "restart", "deploy/web")).ok()
    await done()
    described = (await _run(kubectl, "describe", "deploy", "web")).ok().stdout
    assert "NewReplicaSetAvailable" in described and "MinimumReplicasAvailable" in described
    assert f"Scaled up replica set {first} from 0 to 3" in described


async def test_a_rollout_that_hangs_is_reported(start_controller: Start, kubelets: Kubelets, kubectl: Kubectl) -> None:
    start_controller()
    await _roll_out(kubectl, manifests.deployment("web", 2, progressDeadlineSeconds=3))
    (await _run(kubectl, "set", "image", "deploy/web", "main=broken")).ok()
    failed = (await _run(kubectl, "rollout", "status", "deploy/web", "--timeout=20s")).failed()
    assert failed.stderr.strip() == 'error: deployment "web" exceeded its progress deadline'
    available = (await _run(kubectl, "get", "deploy", "web", "-o", "jsonpath={.status.availableReplicas}")).ok()
    assert available.stdout == "2"


async def test_a_controller_killed_at_any_moment_makes_no_doubles(
    start_controller: Start, kubectl: Kubectl, ours: ApiClient, namespace: str
) -> None:
    controller = start_controller()
    (await _run(kubectl, "apply", "-f", "-", stdin=manifests.deployment("web", 0))).ok()
    for size, pause in ((40, 0.1), (80, 0.2), (120, 0.4)):
        (await _run(kubectl, "scale", "deploy/web", f"--replicas={size}")).ok()
        await asyncio.sleep(pause)  # so that the kill comes in the middle; the outcome must not depend on it
        controller.restart()

    async def exactly() -> bool:
        return len(await _names(ours, PODS, namespace)) == 120

    await eventually(exactly, "there are 120 pods", within=30)
    (await _run(kubectl, "scale", "deploy/web", "--replicas=7")).ok()
    controller.restart()

    async def fewer() -> bool:
        return len(await _names(ours, PODS, namespace)) == 7

    await eventually(fewer, "there are 7 pods", within=30)


@pytest.mark.parametrize(
    ("cascade", "survivors"), [("background", 0), ("foreground", 0), ("orphan", 2)], ids=lambda value: str(value)
)
async def test_what_a_deleted_deployment_leaves(
    start_controller: Start, kubelets: Kubelets, kubectl: Kubectl, ours: ApiClient, namespace: str,
    cascade: str, survivors: int,
) -> None:  # fmt: skip
    start_controller()
    await _roll_out(kubectl, manifests.deployment("web", 2))
    (await _run(kubectl, "delete", "deploy", "web", f"--cascade={cascade}", "--timeout=20s")).ok()

    async def settled() -> bool:
        sets = (await ours.list(REPLICA_SETS, namespace))["items"]
        owned = [rs for rs in sets if meta.owner_references(rs)]
        return not owned and len(await _names(ours, PODS, namespace)) == survivors

    await eventually(settled, f"{survivors} pods are left, of no deployment")


async def test_a_namespace_goes_with_everything_in_it(
    start_controller: Start, kubelets: Kubelets, kubectl: Kubectl, namespace: str
) -> None:
    start_controller()
    (await _run(kubectl, "apply", "-f", "-", stdin=manifests.service("web", 80))).ok()
    (await _run(kubectl, "apply", "-f", "-", stdin=manifests.config_map("cm"))).ok()
    await _roll_out(kubectl, manifests.deployment("web", 2))
    (await _run(kubectl, "delete", "namespace", namespace, "--timeout=20s")).ok()
    left = (await _run(kubectl, "get", "all,cm,sa,ep,endpointslices,events", "--ignore-not-found")).ok()
    assert left.stdout == ""


async def test_a_silent_node_is_given_up_and_taken_back(
    start_controller: Start, kubelets: Kubelets, kubectl: Kubectl, ours: ApiClient, namespace: str
) -> None:
    start_controller("--node-monitor-grace-period", "3s", "--node-monitor-period", "500ms")
    manifest = manifests.deployment("web", 6)
    manifest["spec"]["template"]["spec"]["tolerations"] = [
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
    ]
    (await _run(kubectl, "apply", "-f", "-", stdin=manifests.service("web", 80))).ok()
    await _roll_out(kubectl, manifest)
    lost = kubelets.nodes[0]
    loner = {**manifests.pod("loner"), "spec": {**manifests.pod("loner")["spec"], "nodeName": lost}}
    loner["spec"]["tolerations"] = [{"operator": "Exists"}]
    await ours.create(PODS, loner, namespace=namespace)

    async def status() -> tuple[str, str]:
        found = (await ours.get(PODS, "loner", namespace))["status"]
        return found["phase"], found.get("reason", "")

    async def runs() -> bool:
        return await status() == ("Running", "")

    await eventually(runs, "the lone pod runs")
    kubelets.silent.add(lost)

    async def unknown() -> bool:
        return await status() == ("Unknown", "NodeLost")

    await eventually(unknown, "the lone pod is Unknown because of NodeLost")
    node = await ours.get(NODES, lost)
    assert (meta.get_condition(node, "Ready") or {})["message"] == "Kubelet stopped posting node status."

    async def moved() -> bool:
        pods = (await ours.list(PODS, namespace, labels="app=web"))["items"]
        return sum(meta.is_condition_true(p, "Ready") and p["spec"]["nodeName"] != lost for p in pods) == 6

    await eventually(moved, "six replicas are ready elsewhere", within=20)

    async def withdrawn() -> bool:
        slices = (await ours.list(ENDPOINT_SLICES, namespace, labels="kubernetes.io/service-name=web"))["items"]
        ready = [e for s in slices for e in s["endpoints"] if e["conditions"]["ready"]]
        return len(ready) == 6 and all(e["nodeName"] != lost for e in ready)

    await eventually(withdrawn, "the service has none of its endpoints")
    kubelets.silent.clear()
    await eventually(runs, "the lone pod is taken back", within=20)

    async def no_double() -> bool:
        return len((await ours.list(PODS, namespace, labels="app=web"))["items"]) == 6

    await eventually(no_double, "six replicas are left")
    assert "taints" not in (await ours.get(NODES, lost))["spec"]
