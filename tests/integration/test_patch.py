"""The three patch types, as the upstream kubectl sends them."""

from __future__ import annotations

import json

import pytest
from kubernetes.client import ApiException, CoreV1Api

from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment

TWO = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "busybox"}]}}}}


def images(kubectl: Kubectl) -> str:
    path = "jsonpath={range .spec.template.spec.containers[*]}{.name}={.image} {end}"
    return kubectl.run("get", "deploy", "web", "-o", path).ok().stdout.strip()


def test_a_strategic_merge_goes_by_the_name_of_a_container(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment("web")).ok()
    assert kubectl.run("patch", "deploy", "web", "-p", json.dumps(TWO)).ok().stdout == ("deployment.apps/web patched\n")
    assert images(kubectl) == "side=busybox main=busybox"
    kubectl.run("set", "image", "deploy/web", "main=busybox:2").ok()
    assert images(kubectl) == "side=busybox main=busybox:2"
    gone = {"spec": {"template": {"spec": {"containers": [{"name": "side", "$patch": "delete"}]}}}}
    kubectl.run("patch", "deploy", "web", "-p", json.dumps(gone)).ok()
    assert images(kubectl) == "main=busybox:2"


def test_a_merge_patch_replaces_lists(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=deployment("web")).ok()
    kubectl.run("patch", "deploy", "web", "--type=merge", "-p", json.dumps(TWO)).ok()
    assert images(kubectl) == "side=busybox"


def test_a_json_patch_walks_paths(kubectl: Kubectl, core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", {"k": "v"}))

    def patch(*operations: dict[str, str]) -> int:
        return kubectl.run("patch", "cm", "a", "--type=json", "-p", json.dumps(operations)).code

    assert patch({"op": "test", "path": "/data/k", "value": "v"},
                 {"op": "add", "path": "/data/x", "value": "y"},
                 {"op": "remove", "path": "/data/k"}) == 0  # fmt: skip
    assert core.read_namespaced_config_map("a", namespace).data == {"x": "y"}
    assert patch({"op": "test", "path": "/data/x", "value": "no"}) == 1
    assert patch({"op": "remove", "path": "/data/absent"}) == 1


def test_null_removes(core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", {"k": "v", "x": "y"}))
    assert core.patch_namespaced_config_map("a", namespace, {"data": {"k": None}}).data == {"x": "y"}


def test_labels_and_annotations_by_kubectl(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=config_map("a")).ok()
    assert kubectl.run("label", "cm", "a", "tier=web").ok().stdout == "configmap/a labeled\n"
    assert kubectl.run("label", "cm", "a", "tier=db").failed().stderr.startswith("error: 'tier' already has a value")
    assert kubectl.run("label", "cm", "a", "tier-").ok().stdout == "configmap/a unlabeled\n"
    assert kubectl.run("annotate", "cm", "a", "note=x").ok().stdout == "configmap/a annotated\n"


def test_a_patch_may_pin_the_revision(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a"))
    pinned = {"metadata": {"resourceVersion": made.metadata.resource_version}, "data": {"k": "v"}}
    core.patch_namespaced_config_map("a", namespace, pinned)
    with pytest.raises(ApiException) as stale:
        core.patch_namespaced_config_map("a", namespace, {**pinned, "data": {"k": "w"}})
    assert stale.value.status == 409


def test_a_patch_of_what_is_not_there(kubectl: Kubectl) -> None:
    missing = kubectl.run("patch", "cm", "a", "-p", "{}").failed()
    assert missing.stderr.strip() == 'Error from server (NotFound): configmaps "a" not found'


def test_the_name_and_identity_stay(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a"))
    with pytest.raises(ApiException) as renamed:
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"name": "b"}})
    assert renamed.value.status in (400, 422)
    with pytest.raises(ApiException) as other:
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"uid": "x"}})
    assert other.value.status in (409, 422)
    assert core.read_namespaced_config_map("a", namespace).metadata.uid == made.metadata.uid
