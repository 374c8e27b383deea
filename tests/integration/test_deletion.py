"""Deletion: grace, finalizers, preconditions, propagation, collections, namespaces."""

from __future__ import annotations

import json

import pytest
from kubernetes.client import ApiException, CoreV1Api

from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, pod


def gone(core: CoreV1Api, namespace: str, name: str) -> bool:
    try:
        core.read_namespaced_config_map(name, namespace)
    except ApiException as error:
        assert error.status == 404
        return True
    return False


def test_kubectl_says_what_is_deleted(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=config_map("a")).ok()
    assert kubectl.run("delete", "cm", "a").ok().stdout.startswith('configmap "a" deleted')
    missing = kubectl.run("delete", "cm", "a").failed()
    assert missing.stderr.strip() == 'Error from server (NotFound): configmaps "a" not found'
    assert kubectl.run("delete", "cm", "a", "--ignore-not-found").ok().stdout == ""


def test_a_pod_on_no_node_goes_at_once(core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("a"))
    core.delete_namespaced_pod("a", namespace)
    assert core.list_namespaced_pod(namespace).items == []


def test_a_pod_on_a_node_waits_for_its_kubelet(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    body = pod("a")
    body["spec"]["nodeName"] = "somewhere"
    core.create_namespaced_pod(namespace, body)
    core.patch_namespaced_pod_status("a", namespace, {"status": {"phase": "Running"}})
    core.delete_namespaced_pod("a", namespace)
    left = core.read_namespaced_pod("a", namespace)
    assert left.metadata.deletion_timestamp
    assert left.metadata.deletion_grace_period_seconds == 30
    assert kubectl.run("get", "pod", "a").lines[1].split()[2] == "Terminating"
    core.delete_namespaced_pod("a", namespace, grace_period_seconds=5)
    assert core.read_namespaced_pod("a", namespace).metadata.deletion_grace_period_seconds == 5
    core.delete_namespaced_pod("a", namespace, grace_period_seconds=0)
    assert core.list_namespaced_pod(namespace).items == []


def test_a_finalizer_holds_an_object_back(core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", finalizers=["example.org/hold"]))
    core.delete_namespaced_config_map("a", namespace)
    held = core.read_namespaced_config_map("a", namespace)
    assert held.metadata.deletion_timestamp
    with pytest.raises(ApiException) as added:
        more = {"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}}
        core.patch_namespaced_config_map("a", namespace, more)
    assert added.value.status == 422
    assert "no new finalizers can be added if the object is being deleted" in added.value.body
    core.patch_namespaced_config_map("a", namespace, [{"op": "remove", "path": "/metadata/finalizers"}])
    assert gone(core, namespace, "a")


def test_preconditions_of_a_deletion(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a"))
    for precondition in ({"uid": "another"}, {"resourceVersion": "1"}):
        with pytest.raises(ApiException) as refused:
            core.delete_namespaced_config_map("a", namespace, body={"preconditions": precondition})
        assert refused.value.status == 409
        assert "in the precondition" in json.loads(refused.value.body)["message"]
    core.delete_namespaced_config_map("a", namespace, body={"preconditions": {"uid": made.metadata.uid}})
    assert gone(core, namespace, "a")


def test_propagation_is_left_as_a_mark_for_the_collector(core: CoreV1Api, namespace: str) -> None:
    for name, policy, finalizer in (
        ("a", "Foreground", "foregroundDeletion"), ("b", "Orphan", "orphan"),
    ):  # fmt: skip
        core.create_namespaced_config_map(namespace, config_map(name))
        core.delete_namespaced_config_map(name, namespace, propagation_policy=policy)
        held = core.read_namespaced_config_map(name, namespace)
        assert held.metadata.finalizers == [finalizer]
        assert held.metadata.deletion_timestamp
    core.create_namespaced_config_map(namespace, config_map("c"))
    core.delete_namespaced_config_map("c", namespace, propagation_policy="Background")
    assert gone(core, namespace, "c")
    with pytest.raises(ApiException) as wrong:
        core.delete_namespaced_config_map("a", namespace, propagation_policy="Sideways")
    assert wrong.value.status in (400, 422)


def test_a_collection_is_deleted_by_selector(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    for i in range(6):
        core.create_namespaced_config_map(namespace, config_map(f"c{i}", labels={"odd": str(i % 2)}))
    core.delete_collection_namespaced_config_map(namespace, label_selector="odd=1")
    assert [c.metadata.name for c in core.list_namespaced_config_map(namespace).items] == ["c0", "c2", "c4"]
    kubectl.run("delete", "cm", "--all").ok()
    assert core.list_namespaced_config_map(namespace).items == []


def test_owner_references_are_checked(core: CoreV1Api, namespace: str) -> None:
    owner = core.create_namespaced_config_map(namespace, config_map("owner"))
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner.metadata.uid,
        "controller": True,
    }
    owned = core.create_namespaced_config_map(namespace, config_map("a", ownerReferences=[reference]))
    assert owned.metadata.owner_references[0].uid == owner.metadata.uid
    second = {**reference, "name": "other", "uid": "other"}
    with pytest.raises(ApiException) as two:
        core.create_namespaced_config_map(namespace, config_map("b", ownerReferences=[reference, second]))
    assert two.value.status == 422
    assert "Only one reference can have Controller set to true" in json.loads(two.value.body)["message"]
    with pytest.raises(ApiException) as nameless:
        core.create_namespaced_config_map(namespace, config_map("c", ownerReferences=[{**reference, "name": ""}]))
    assert "metadata.ownerReferences" in nameless.value.body


def test_a_namespace_being_deleted_takes_nothing_new(core: CoreV1Api, namespace: str) -> None:
    core.delete_namespace(namespace)
    left = core.read_namespace(namespace)
    assert left.status.phase == "Terminating"
    assert left.spec.finalizers == ["kubernetes"]
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map(namespace, config_map("a"))
    status = json.loads(refused.value.body)
    assert refused.value.status == 403
    assert "because it is being terminated" in status["message"]
    assert status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    with pytest.raises(ApiException) as unknown:
        core.create_namespaced_config_map("no-such-namespace", config_map("a"))
    assert unknown.value.status == 404
    assert 'namespaces \\"no-such-namespace\\" not found' in unknown.value.body
