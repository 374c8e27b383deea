"""Storage from claim to mount: controller, scheduler and kubelet together.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/ , ephemeral-volumes/#generic-ephemeral-volumes and
storage-classes/#volume-binding-mode
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import manifests
from tests.e2e.manifests import SLEEP, documents
from tests.harness.cluster import Cluster, condition
from tests.harness.eventually import eventually_sync

Obj = dict[str, Any]
NAMES = ("at-once", "first", "second", "scratch")


def storage_class(name: str, mode: str) -> Obj:
    return {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode,
    }  # fmt: skip


def volume(name: str, class_: str, size: str, source: Obj, node: str) -> Obj:
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}}
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": class_, **source}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {**spec, "nodeAffinity": affinity},
    }  # fmt: skip


def claim_spec(class_: str, size: str = "1Gi") -> Obj:
    return {
        "accessModes": ["ReadWriteOnce"], "storageClassName": class_, "resources": {"requests": {"storage": size}}
    }  # fmt: skip


def claim(name: str, class_: str) -> Obj:
    metadata = {"name": name}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim_spec(class_)}


def pod(name: str, script: str, **sources: Obj) -> Obj:
    mounts = [{"name": each, "mountPath": f"/{each}"} for each in sources]
    volumes = [{"name": each, **source} for each, source in sources.items()]
    return manifests.pod(name, manifests.shell(script, volumeMounts=mounts), volumes=volumes)


def of_claim(name: str) -> Obj:
    return {"persistentVolumeClaim": {"claimName": name}}


@pytest.fixture
def directories(cluster: Cluster, tmp_path: Path) -> Iterator[dict[str, Path]]:
    found = {name: tmp_path / name for name in NAMES}
    for directory in found.values():
        directory.mkdir()
    yield found
    cluster.kubectl("delete", "pv", *NAMES, "--ignore-not-found", "--wait=false")
    cluster.kubectl("delete", "sc", "at-once", "late", "--ignore-not-found")


def test_data_is_where_its_claim_is(cluster: Cluster, namespace: str, directories: dict[str, Path]) -> None:
    """A claim bound at once, two that wait for their pod, and one that is made for it: each pod finds its own, what it
    wrote outlives it, and what was made for it goes with it."""
    node = cluster.node()["metadata"]["labels"]["kubernetes.io/hostname"]
    on = {name: str(directory) for name, directory in directories.items()}
    cluster.apply(
        documents(
            storage_class("at-once", "Immediate"),
            storage_class("late", "WaitForFirstConsumer"),
            volume("at-once", "at-once", "2Gi", {"hostPath": {"path": on["at-once"]}}, node),
            *(volume(name, "late", "1Gi", {"local": {"path": on[name]}}, node) for name in NAMES[1:]),
            claim("now", "at-once"), claim("one", "late"), claim("two", "late"),
            pod(
                "writer", f"for d in now one two scratch; do echo $d > /$d/note; done; {SLEEP}",
                now=of_claim("now"), one=of_claim("one"), two=of_claim("two"),
                scratch={"ephemeral": {"volumeClaimTemplate": {"spec": claim_spec("late")}}},
            ),
        ),
        namespace,
    )  # fmt: skip
    cluster.wait_ready("app=writer", 1, namespace)
    claims = {c["metadata"]["name"]: c for c in cluster.items("pvc", namespace=namespace)}
    assert {c["status"]["phase"] for c in claims.values()} == {"Bound"}
    assert claims["now"]["spec"]["volumeName"] == "at-once" and claims["now"]["status"]["capacity"] == {
        "storage": "2Gi"
    }
    made = claims["writer-scratch"]
    assert made["metadata"]["ownerReferences"][0]["name"] == "writer"
    for name, each in claims.items():
        note = directories[each["spec"]["volumeName"]] / "note"
        eventually_sync(lambda n=note: n.exists() and n.read_text(), f"{name} is written", within=30)  # type: ignore[misc]
        assert note.read_text() == name.removeprefix("writer-") + "\n"

    cluster.kubectl("delete", "pod", "writer", namespace=namespace)
    cluster.apply(
        documents(
            pod("reader", SLEEP, one=of_claim("one")),
            pod("lost", SLEEP, gone=of_claim("no-such")),
        ),
        namespace,
    )
    cluster.wait_ready("app=reader", 1, namespace)
    assert cluster.kubectl("exec", "reader", "--", "cat", "/one/note", namespace=namespace).stdout == "one\n"

    def is_released() -> bool:
        volume = cluster.get("pv", made["spec"]["volumeName"])
        return bool(volume["status"]["phase"] == "Released")

    eventually_sync(is_released, "the ephemeral volume is let go", within=60)

    def says_why() -> bool:
        lost = cluster.get("pod", "lost", namespace=namespace)
        assert condition(lost, "PodScheduled") == "False"
        told = next(c for c in lost["status"]["conditions"] if c["type"] == "PodScheduled")
        return str(told["message"]).startswith('0/1 nodes are available: persistentvolumeclaim "no-such" not found.')

    eventually_sync(says_why, "the pod without a claim says so", within=30)
