"""Claims, volumes and pods find each other: a real controller and scheduler, judged by the upstream kubectl. Nodes are
objects only.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/ and #volume-binding-mode of storage classes
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from api import meta
from api.builtin import EVENTS, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from api.errors import NotFound
from api.meta import Obj
from client.http import ApiClient
from tests.harness.eventually import eventually
from tests.harness.process import Process
from tests.harness.upstream import Kubectl
from tests.integration.conftest import Start


class Storage:
    """Volumes, classes and two nodes of a test's own, gone when it ends."""

    def __init__(self, ours: ApiClient, namespace: str) -> None:
        self.ours, self.namespace = ours, namespace
        self._made: list[tuple[Any, str]] = []

    def name(self, short: str) -> str:
        return f"{self.namespace}-{short}"[-60:].lstrip("-")

    async def make(self, row: Any, short: str, **fields: Any) -> Obj:
        metadata = {"name": self.name(short), **fields.pop("metadata", {})}
        self._made.append((row, self.name(short)))
        return await self.ours.create(row, {
            "apiVersion": row.api_version, "kind": row.kind, "metadata": metadata, **fields,
        })  # fmt: skip

    async def node(self, short: str) -> None:
        name = self.name(short)
        labels = {"kubernetes.io/hostname": name, "test": self.namespace}
        await self.make(NODES, short, metadata={"labels": labels})
        resources = {"cpu": "4", "memory": "8Gi", "pods": "110"}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": meta.rfc3339(datetime.now(UTC))}
        status = {"capacity": resources, "allocatable": resources, "conditions": [ready]}
        await self.ours.patch(NODES, name, {"status": status}, subresource="status")

    async def volume(self, short: str, size: str = "1Gi", node: str = "", **spec: Any) -> None:
        own: Obj = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "local": {"path": "/data"}}
        hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": [self.name(node)]}
        wanted = {"key": "test", "operator": "In", "values": [self.namespace]}
        terms = [{"matchExpressions": [hosts if node else wanted]}]
        own["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
        await self.make(PERSISTENT_VOLUMES, short, spec={"storageClassName": self.name("class"), **own, **spec})

    def claim_spec(self, size: str = "1Gi", **spec: Any) -> Obj:
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {**wanted, "storageClassName": self.name("class"), **spec}

    async def claim(self, name: str, size: str = "1Gi", **spec: Any) -> None:
        await self.ours.create(PERSISTENT_VOLUME_CLAIMS, {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": self.namespace}, "spec": self.claim_spec(size, **spec),
        })  # fmt: skip

    async def pod(self, name: str, *volumes: Obj, **spec: Any) -> None:
        named = [{"name": f"v{n}", **volume} for n, volume in enumerate(volumes)]
        container = {"name": "c", "image": "example:1"}
        await self.ours.create(PODS, {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"containers": [container], "nodeSelector": {"test": self.namespace}, "volumes": named, **spec},
        })  # fmt: skip

    async def class_(self, mode: str, **fields: Any) -> None:
        more = {"provisioner": "kubernetes.io/no-provisioner", **fields}
        await self.make(STORAGE_CLASSES, "class", volumeBindingMode=mode, **more)

    async def is_in_phase(self, row: Any, name: str, phase: str) -> Obj:
        async def there() -> Obj | None:
            obj = await self.ours.get(row, name, self.namespace if row.namespaced else "")
            return obj if (obj.get("status") or {}).get("phase") == phase else None

        found = await eventually(there, f"{row.kind} {name} is {phase}", within=30)
        assert found is not None
        return found

    async def node_of(self, pod: str) -> str:
        async def placed() -> str | None:
            return (await self.ours.get(PODS, pod, self.namespace))["spec"].get("nodeName")

        return str(await eventually(placed, f"{pod} has a node", within=30))

    async def event(self, name: str, reason: str) -> str:
        async def told() -> str | None:
            for event in (await self.ours.list(EVENTS, self.namespace))["items"]:
                if event["involvedObject"]["name"] == name and event["reason"] == reason:
                    return str(event["message"])
            return None

        return str(await eventually(told, f"{reason} of {name}", within=30))

    async def clear(self) -> None:
        await self.ours.delete_collection(PODS, self.namespace, grace_period=0)
        await self.ours.delete_collection(PERSISTENT_VOLUME_CLAIMS, self.namespace)
        for row, name in self._made:
            try:
                await self.ours.patch(row, name, {"metadata": {"finalizers": None}})
                await self.ours.delete(row, name)
            except NotFound:
                continue


@pytest.fixture
async def storage(
    ours: ApiClient, namespace: str, start_controller: Start, scheduler: Process
) -> AsyncIterator[Storage]:
    start_controller()
    storage = Storage(ours, namespace)
    try:
        yield storage
    finally:
        await storage.clear()


async def test_a_claim_is_bound_at_once_and_its_volume_kept_when_it_goes(storage: Storage, kubectl: Kubectl) -> None:
    await storage.class_("Immediate")
    await storage.volume("large", "9Gi")
    await storage.volume("small", "2Gi")
    for each in ("large", "small"):  # known to the loop that chooses
        await storage.is_in_phase(PERSISTENT_VOLUMES, storage.name(each), "Available")
    await storage.claim("data")
    claim = await storage.is_in_phase(PERSISTENT_VOLUME_CLAIMS, "data", "Bound")
    name = storage.name("small")
    assert (claim["spec"]["volumeName"], claim["status"]["capacity"]) == (name, {"storage": "2Gi"})
    told = kubectl.run("get", "pvc", "data", "--no-headers").ok().stdout.split()
    assert told[:6] == ["data", "Bound", name, "2Gi", "RWO", storage.name("class")]
    kubectl.run("delete", "pvc", "data").ok()
    volume = await storage.is_in_phase(PERSISTENT_VOLUMES, name, "Released")
    assert volume["spec"]["claimRef"]["uid"] == meta.uid(claim)
    await storage.claim("data")  # of the same name, but not the same
    again = await storage.is_in_phase(PERSISTENT_VOLUME_CLAIMS, "data", "Bound")
    assert again["spec"]["volumeName"] == storage.name("large")
    await storage.ours.patch(PERSISTENT_VOLUMES, name, {"spec": {"claimRef": None}})
    await storage.is_in_phase(PERSISTENT_VOLUMES, name, "Available")
    await storage.ours.delete(PERSISTENT_VOLUMES, storage.name("large"))
    await storage.ours.patch(PERSISTENT_VOLUMES, storage.name("large"), {"metadata": {"finalizers": None}})
    await storage.is_in_phase(PERSISTENT_VOLUME_CLAIMS, "data", "Lost")
    lost = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    assert await storage.event("data", "ClaimLost") == lost


async def test_a_claim_that_waits_is_bound_where_its_pod_can_be(storage: Storage, kubectl: Kubectl) -> None:
    """The volumes are on one node, the pod's claims must both be there; an ephemeral volume's claim goes with it."""
    for each in ("a", "b"):
        await storage.node(each)
    await storage.class_("WaitForFirstConsumer")
    await storage.claim("one")
    await storage.claim("two")
    waiting = "waiting for first consumer to be created before binding"
    assert await storage.event("one", "WaitForFirstConsumer") == waiting
    template = {"volumeClaimTemplate": {"spec": storage.claim_spec()}}
    volumes = [{"persistentVolumeClaim": {"claimName": name}} for name in ("one", "two")]
    await storage.pod("web", *volumes, {"ephemeral": template})
    none = "node(s) didn't find available persistent volumes to bind"  # as many as there are of other tests, too

    async def says_why() -> bool:
        pod = await storage.ours.get(PODS, "web", storage.namespace)
        return none in str((meta.get_condition(pod, "PodScheduled") or {}).get("message"))

    await eventually(says_why, "the pod tells what it lacks", within=30)
    await storage.volume("a1", node="a")
    for each in ("b1", "b2", "b3"):
        await storage.volume(each, node="b")
    assert await storage.node_of("web") == storage.name("b")
    bound = [
        await storage.is_in_phase(PERSISTENT_VOLUME_CLAIMS, name, "Bound") for name in ("one", "two", "web-v2")
    ]  # fmt: skip
    assert {c["spec"]["volumeName"] for c in bound} == {storage.name(v) for v in ("b1", "b2", "b3")}
    assert (meta.controller_of(bound[2]) or {})["name"] == "web"
    await storage.is_in_phase(PERSISTENT_VOLUMES, storage.name("a1"), "Available")
    await storage.ours.delete(PODS, "web", storage.namespace, grace_period=0)

    async def is_gone() -> bool:
        claims = (await storage.ours.list(PERSISTENT_VOLUME_CLAIMS, storage.namespace))["items"]
        return {meta.name(c) for c in claims} == {"one", "two"}

    await eventually(is_gone, "the ephemeral claim went with its pod", within=30)
    await storage.pod("again", {"persistentVolumeClaim": {"claimName": "one"}})
    assert await storage.node_of("again") == storage.name("b")


async def test_a_claim_for_one_pod_only(storage: Storage, kubectl: Kubectl) -> None:
    """ReadWriteOncePod (KEP-2485): the next pod has to wait until the first is gone."""
    await storage.node("a")
    await storage.class_("Immediate")
    await storage.volume("v", accessModes=["ReadWriteOncePod"])
    await storage.claim("mine", accessModes=["ReadWriteOncePod"])
    await storage.pod("first", {"persistentVolumeClaim": {"claimName": "mine"}})
    await storage.node_of("first")
    await storage.pod("second", {"persistentVolumeClaim": {"claimName": "mine"}})
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert reason in await storage.event("second", "FailedScheduling")
    await storage.ours.delete(PODS, "first", storage.namespace, grace_period=0)
    assert await storage.node_of("second") == storage.name("a")


async def test_a_provisioner_is_told_where(storage: Storage, kubectl: Kubectl) -> None:
    """What an external provisioner sees and does: the annotations of v1.35, a volume that refers to the claim."""
    await storage.node("a")
    await storage.class_("WaitForFirstConsumer", provisioner="example.com/disk")
    await storage.claim("data")
    await storage.pod("web", {"persistentVolumeClaim": {"claimName": "data"}})
    told = await storage.event("data", "ExternalProvisioning")
    assert told.startswith("Waiting for a volume to be created either by the external provisioner 'example.com/disk'")
    claim = await storage.ours.get(PERSISTENT_VOLUME_CLAIMS, "data", storage.namespace)
    assert meta.annotations(claim) == {
        "volume.kubernetes.io/selected-node": storage.name("a"),
        "volume.kubernetes.io/storage-provisioner": "example.com/disk",
        "volume.beta.kubernetes.io/storage-provisioner": "example.com/disk",
    }
    reference = {
        "kind": "PersistentVolumeClaim",
        "namespace": storage.namespace,
        "name": "data",
        "uid": meta.uid(claim),
    }
    provisioned = {"annotations": {"pv.kubernetes.io/provisioned-by": "example.com/disk"}}
    await storage.make(PERSISTENT_VOLUMES, "made", metadata=provisioned, spec={
        "storageClassName": storage.name("class"), "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": "/data"}, "claimRef": reference, "persistentVolumeReclaimPolicy": "Delete",
    })  # fmt: skip
    assert await storage.node_of("web") == storage.name("a")
    await storage.is_in_phase(PERSISTENT_VOLUME_CLAIMS, "data", "Bound")
