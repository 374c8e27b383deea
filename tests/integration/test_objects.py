"""Create, read, update: judged by the official client and the upstream kubectl."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import ApiException, AppsV1Api, CoreV1Api

from api.builtin import CONFIG_MAPS, DEPLOYMENTS
from api.errors import Conflict
from client.http import ApiClient
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment, pod


def test_an_object_lives_through_the_official_client(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", {"k": "v"}, labels={"app": "web"}))
    assert made.metadata.uid
    assert made.metadata.resource_version
    assert made.metadata.creation_timestamp.tzinfo is not None
    read = core.read_namespaced_config_map("a", namespace)
    assert read.data == {"k": "v"}
    read.data["k"] = "w"
    replaced = core.replace_namespaced_config_map("a", namespace, read)
    assert int(replaced.metadata.resource_version) > int(made.metadata.resource_version)
    assert replaced.metadata.uid == made.metadata.uid
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("a", namespace, read)
    assert stale.value.status == 409
    assert "the object has been modified; please apply your changes" in stale.value.body
    core.delete_namespaced_config_map("a", namespace)
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("a", namespace)
    assert gone.value.status == 404
    assert 'configmaps \\"a\\" not found' in gone.value.body


def test_an_unchanged_update_writes_nothing(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", {"k": "v"}))
    same = core.replace_namespaced_config_map("a", namespace, made)
    assert same.metadata.resource_version == made.metadata.resource_version


def test_a_name_can_be_generated(core: CoreV1Api, namespace: str) -> None:
    names = {
        core.create_namespaced_config_map(namespace, {"metadata": {"generateName": "made-"}}).metadata.name
        for _ in range(5)
    }
    assert len(names) == 5
    assert all(name.startswith("made-") and len(name) == len("made-") + 5 for name in names)


def test_a_taken_name_is_told(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=config_map("a")).ok()
    again = kubectl.run("create", "-f", "-", stdin=config_map("a")).failed()
    assert again.stderr.strip() == (
        'Error from server (AlreadyExists): error when creating "STDIN": configmaps "a" already exists'
    )


def test_apply_says_what_it_did(kubectl: Kubectl) -> None:
    def apply(data: dict[str, str]) -> str:
        return kubectl.run("apply", "-f", "-", stdin=config_map("a", data)).ok().stdout.strip()

    assert apply({"k": "v", "x": "y"}) == "configmap/a created"
    assert apply({"k": "v", "x": "y"}) == "configmap/a unchanged"
    assert apply({"k": "w"}) == "configmap/a configured"
    assert kubectl.run("get", "cm", "a", "-o", "jsonpath={.data}").stdout == '{"k":"w"}'


def test_a_dry_run_changes_nothing(kubectl: Kubectl, core: CoreV1Api, namespace: str) -> None:
    shown = kubectl.run("apply", "-f", "-", "--dry-run=server", "-o", "json", stdin=pod("a")).ok()
    assert shown.json["spec"]["restartPolicy"] == "Always", "a dry run shows the defaults"
    assert core.list_namespaced_pod(namespace).items == []
    core.create_namespaced_config_map(namespace, config_map("kept", {"k": "v"}))
    kubectl.run("delete", "cm", "kept", "--dry-run=server").ok()
    core.patch_namespaced_config_map("kept", namespace, {"data": {"k": "w"}}, dry_run="All")
    assert core.read_namespaced_config_map("kept", namespace).data == {"k": "v"}


def test_generation_counts_changes_of_the_spec(official: Any, namespace: str) -> None:
    apps = AppsV1Api(official)
    made = apps.create_namespaced_deployment(namespace, deployment("web"))
    assert made.metadata.generation == 1
    labelled = apps.patch_namespaced_deployment("web", namespace, {"metadata": {"labels": {"a": "b"}}})
    assert labelled.metadata.generation == 1
    scaled = apps.patch_namespaced_deployment("web", namespace, {"spec": {"replicas": 5}})
    assert scaled.metadata.generation == 2


def test_status_and_spec_have_doors_of_their_own(official: Any, namespace: str) -> None:
    apps = AppsV1Api(official)
    apps.create_namespaced_deployment(namespace, {**deployment("web"), "status": {"replicas": 9}})
    made = apps.read_namespaced_deployment("web", namespace)
    assert made.status.replicas is None
    made.status.replicas, made.spec.replicas = 2, 7
    apps.replace_namespaced_deployment_status("web", namespace, made)
    after = apps.read_namespaced_deployment("web", namespace)
    assert (after.status.replicas, after.spec.replicas) == (2, 3)
    apps.patch_namespaced_deployment("web", namespace, {"status": {"replicas": 8}, "spec": {"paused": True}})
    after = apps.read_namespaced_deployment("web", namespace)
    assert (after.status.replicas, after.spec.paused) == (2, True)


def test_scale_is_a_view_of_its_own(kubectl: Kubectl, official: Any, namespace: str) -> None:
    kubectl.run("apply", "-f", "-", stdin=deployment("web")).ok()
    scale = AppsV1Api(official).read_namespaced_deployment_scale("web", namespace)
    assert (scale.kind, scale.spec.replicas, scale.status.selector) == ("Scale", 3, "app=web")
    assert kubectl.run("scale", "deployment/web", "--replicas=5").ok().stdout == "deployment.apps/web scaled\n"
    assert kubectl.run("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}").stdout == "5"
    wrong = kubectl.run("scale", "deployment/web", "--replicas=1", "--current-replicas=3").failed()
    assert "Expected replicas to be 3, was 5" in wrong.stderr


def test_a_pod_is_defaulted(core: CoreV1Api, namespace: str) -> None:
    spec = core.create_namespaced_pod(namespace, pod("a")).spec
    assert (spec.restart_policy, spec.dns_policy, spec.scheduler_name) == (
        "Always", "ClusterFirst", "default-scheduler",
    )  # fmt: skip
    assert spec.service_account_name == "default"
    assert spec.termination_grace_period_seconds == 30
    assert spec.containers[0].image_pull_policy == "Always"
    assert spec.containers[0].termination_message_path == "/dev/termination-log"
    tolerated = {t.key: t.toleration_seconds for t in spec.tolerations}
    assert tolerated == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300}


async def test_our_client_meets_the_same_rules(ours: ApiClient, namespace: str) -> None:
    made = await ours.create(CONFIG_MAPS, config_map("a", {"k": "v"}, namespace=namespace))
    made["data"]["k"] = "w"
    newer = await ours.update(CONFIG_MAPS, made)
    assert newer["data"] == {"k": "w"}
    with pytest.raises(Conflict):
        await ours.update(CONFIG_MAPS, made | {"data": {}})
    await ours.create(DEPLOYMENTS, deployment("web") | {"metadata": {"name": "web", "namespace": namespace}})
    listed = await ours.list(DEPLOYMENTS, namespace)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["web"]
