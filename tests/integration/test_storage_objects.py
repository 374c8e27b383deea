"""Claims, volumes and classes at the door and in the loops that protect them, with upstream's kubectl. (test_storage.py
is about our own storage.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from api.meta import Obj
from tests.harness.eventually import eventually_sync
from tests.harness.process import Process
from tests.harness.upstream import Kubectl, Result
from tests.integration.manifests import pod

CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: NAME, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: example.com/disks
allowVolumeExpansion: true
"""


def claim(name: str, size: str = "1Gi") -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def volume(name: str) -> Obj:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def make(kubectl: Kubectl, obj: Obj) -> None:
    kubectl.run("create", "-f", "-", stdin=json.dumps(obj)).ok()


def read(kubectl: Kubectl, *what: str) -> Any:
    return json.loads(kubectl.run("get", *what, "-o", "json").ok().stdout)


def grow(kubectl: Kubectl, size: str) -> Result:
    patch = {"spec": {"resources": {"requests": {"storage": size}}}}
    return kubectl.run("patch", "pvc", "data", "-p", json.dumps(patch))


def is_gone(kubectl: Kubectl, *what: str) -> Callable[[], bool]:
    return lambda: "not found" in kubectl.run("get", *what).stderr


def test_a_claim_from_its_class_to_its_end(kubectl: Kubectl, start_controller: Callable[..., Process]) -> None:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/ : default class, expansion, protection."""
    name = f"fast-{kubectl.namespace}"
    kubectl.run("create", "-f", "-", stdin=CLASS.replace("NAME", name)).ok()
    try:
        make(kubectl, claim("data"))
        made = read(kubectl, "pvc", "data")
        assert made["spec"]["storageClassName"] == name
        assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        kubectl.run("patch", "pvc", "data", "--subresource=status", "-p", '{"status":{"phase":"Bound"}}').ok()
        grow(kubectl, "2Gi").ok()
    finally:
        kubectl.run("delete", "storageclass", name).ok()
    assert (
        'persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized and the '
        "storageclass that provisions the pvc must support resize" in grow(kubectl, "3Gi").failed().stderr
    )
    body = pod("user")
    body["spec"] |= {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], "nodeName": "none"}
    make(kubectl, body)
    start_controller()
    kubectl.run("delete", "pvc", "data", "--wait=false").ok()
    assert "Terminating" in kubectl.run("get", "pvc", "data").ok().stdout
    kubectl.run("delete", "pod", "user", "--force", "--grace-period=0").ok()
    eventually_sync(is_gone(kubectl, "pvc", "data"), "the claim has gone after its user", within=20)


def test_a_volume_goes_when_it_is_no_longer_bound(kubectl: Kubectl, start_controller: Callable[..., Process]) -> None:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection"""
    name = f"disk-{kubectl.namespace}"
    make(kubectl, volume(name))
    assert read(kubectl, "pv", name)["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    holder = claim("data")
    holder["spec"] |= {"volumeName": name, "storageClassName": ""}
    make(kubectl, holder)
    start_controller()
    eventually_sync(lambda: read(kubectl, "pv", name)["status"]["phase"] == "Bound", "the volume is bound", within=20)
    kubectl.run("delete", "pv", name, "--wait=false").ok()
    assert "Terminating" in kubectl.run("get", "pv", name).ok().stdout
    kubectl.run("delete", "pvc", "data").ok()
    eventually_sync(is_gone(kubectl, "pv", name), "the volume has gone", within=20)
