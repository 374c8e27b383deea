"""Server-side apply and managedFields, as
https://kubernetes.io/docs/reference/using-api/server-side-apply/ (here: SSA) and KEP-555 describe them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, AppsV1Api, CoordinationV1Api, CoreV1Api
from kubernetes.dynamic import DynamicClient

from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment

Obj = dict[str, Any]


def entries(kubectl: Kubectl, *what: str) -> dict[tuple[str, str, str], Obj]:
    """(manager, operation, subresource) → FieldsV1."""
    found = kubectl.run("get", *what, "-o", "json", "--show-managed-fields").ok().json["metadata"]
    return {
        (e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"] for e in found.get("managedFields", [])
    }


def apply(kubectl: Kubectl, obj: Obj, manager: str, *flags: str) -> Any:
    return kubectl.run("apply", "--server-side", "--field-manager", manager, "-f", "-", *flags, stdin=obj)


def raw_patch(official: ApiClient, path: str, body: Obj, media: str = "application/apply-patch+yaml") -> Obj:
    """The answer to a PATCH that no client library would send."""
    answer = official.rest_client.pool_manager.request(
        "PATCH", official.configuration.host + path, body=json.dumps(body), headers={"Content-Type": media}
    )
    status: Obj = json.loads(answer.data)
    return status


def cm(**data: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}


def test_an_apply_creates_and_owns_what_it_says(kubectl: Kubectl) -> None:
    """SSA, "Field management"."""
    obj = {**cm(key="some value"), "metadata": {"name": "a", "labels": {"test-label": "test"}}}
    assert apply(kubectl, obj, "kubectl").ok().stdout == "configmap/a serverside-applied\n"
    assert entries(kubectl, "cm", "a") == {
        ("kubectl", "Apply", ""): {"f:data": {"f:key": {}}, "f:metadata": {"f:labels": {"f:test-label": {}}}}
    }


def test_what_nobody_says_any_more_is_removed(kubectl: Kubectl) -> None:
    """SSA, "If you remove a field from a manifest and apply that manifest"."""
    apply(kubectl, cm(x="1", y="2"), "one").ok()
    apply(kubectl, cm(y="2"), "two").ok()
    apply(kubectl, cm(), "one").ok()
    assert kubectl.run("get", "cm", "a", "-o", "json").ok().json["data"] == {"y": "2"}
    assert ("two", "Apply", "") in entries(kubectl, "cm", "a")


def test_an_update_takes_ownership_and_an_apply_then_conflicts(kubectl: Kubectl) -> None:
    """SSA, "Conflicts"; the text is upstream kubectl's, around the server's."""
    apply(kubectl, cm(key="some value"), "kubectl").ok()
    kubectl.run("patch", "cm", "a", "-p", json.dumps({"data": {"key": "another"}})).ok()
    assert entries(kubectl, "cm", "a") == {("kubectl-patch", "Update", ""): {"f:data": {"f:key": {}}}}
    refused = apply(kubectl, cm(key="some value"), "kubectl").failed().stderr
    assert refused.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl-patch" using v1: .data.key\n'
        "Please review the fields above--they currently have other managers."
    )
    apply(kubectl, cm(key="some value"), "kubectl", "--force-conflicts").ok()
    assert entries(kubectl, "cm", "a") == {("kubectl", "Apply", ""): {"f:data": {"f:key": {}}}}


def test_conflicts_with_several_managers_are_grouped(kubectl: Kubectl, core: CoreV1Api, namespace: str) -> None:
    apply(kubectl, cm(x="1", y="1"), "one").ok()
    apply(kubectl, cm(x="1"), "two").ok()
    refused = apply(kubectl, cm(x="2", y="2"), "three").failed().stderr
    assert refused.startswith(
        'error: Apply failed with 3 conflicts: conflicts with "one":\n- .data.x\n- .data.y\n'
        'conflicts with "two":\n- .data.x\nPlease review'
    )
    with pytest.raises(ApiException) as caught:
        core.patch_namespaced_config_map(
            "a", namespace, cm(x="2"), field_manager="three", _content_type="application/apply-patch+yaml"
        )
    status = json.loads(caught.value.body)
    assert (status["code"], status["reason"]) == (409, "Conflict")
    assert status["details"] == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": f'conflict with "{name}"', "field": ".data.x"}
            for name in ("one", "two")
        ]
    }


def test_the_same_again_changes_nothing(kubectl: Kubectl) -> None:
    """KEP-555: applying is idempotent; neither resourceVersion nor time move."""
    before = apply(kubectl, deployment("web"), "one", "-o", "json", "--show-managed-fields").ok().json
    after = apply(kubectl, deployment("web"), "one", "-o", "json", "--show-managed-fields").ok().json
    assert after["metadata"] == before["metadata"]


def test_a_created_deployment_tells_of_every_field_that_its_creator_set(kubectl: Kubectl) -> None:
    """The fields that upstream v1.35 notes for this object; structs held in place are no fields of their own."""
    kubectl.run("create", "deployment", "web", "--image", "nginx").ok()
    assert entries(kubectl, "deploy", "web")[("kubectl-create", "Update", "")] == {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
        "f:spec": {
            "f:progressDeadlineSeconds": {},
            "f:replicas": {},
            "f:revisionHistoryLimit": {},
            "f:selector": {},
            "f:strategy": {
                "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}},
                "f:type": {},
            },
            "f:template": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:containers": {
                        'k:{"name":"nginx"}': {
                            ".": {},
                            "f:image": {},
                            "f:imagePullPolicy": {},
                            "f:name": {},
                            "f:resources": {},
                            "f:terminationMessagePath": {},
                            "f:terminationMessagePolicy": {},
                        }
                    },
                    "f:dnsPolicy": {},
                    "f:restartPolicy": {},
                    "f:schedulerName": {},
                    "f:securityContext": {},
                    "f:terminationGracePeriodSeconds": {},
                },
            },
        },
    }


def test_scaling_takes_the_replicas(kubectl: Kubectl) -> None:
    """KEP-555, "Scale subresource": what is written through /scale is owned in the object itself."""
    apply(kubectl, deployment("web"), "one").ok()
    kubectl.run("scale", "deploy/web", "--replicas=5").ok()
    found = entries(kubectl, "deploy", "web")
    assert found[("kubectl", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in found[("one", "Apply", "")]["f:spec"]
    refused = apply(kubectl, deployment("web"), "one").failed().stderr
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in refused


def test_the_status_has_managers_of_its_own(official: ApiClient, kubectl: Kubectl, namespace: str) -> None:
    """SSA, "Using Server-Side Apply in a controller"; entries of a subresource name it."""
    apply(kubectl, deployment("web"), "one").ok()
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "status": {"replicas": 1}}
    AppsV1Api(official).patch_namespaced_deployment_status(
        "web", namespace, {**body, "spec": {"replicas": 7}}, field_manager="ctl", force=True,
        _content_type="application/apply-patch+yaml",
    )  # fmt: skip
    found = entries(kubectl, "deploy", "web")
    assert found[("ctl", "Apply", "status")] == {"f:status": {"f:replicas": {}}}
    assert "f:replicas" in found[("one", "Apply", "")]["f:spec"]


def test_the_dynamic_client_applies(official: ApiClient, namespace: str) -> None:
    maps = DynamicClient(official).resources.get(api_version="v1", kind="ConfigMap")
    made = maps.server_side_apply(cm(x="1"), name="a", namespace=namespace, field_manager="py")
    assert made.data.x == "1"
    with pytest.raises(ApiException) as caught:
        maps.server_side_apply(cm(x="2"), name="a", namespace=namespace, field_manager="other")
    assert caught.value.status == 409
    forced = maps.server_side_apply(
        cm(x="2"), name="a", namespace=namespace, field_manager="other", force_conflicts=True
    )
    assert [e.manager for e in forced.metadata.managedFields] == ["other"]


def test_an_object_of_client_side_apply_is_taken_over(kubectl: Kubectl) -> None:
    """SSA, "Upgrading from client-side apply to server-side apply"."""
    kubectl.run("apply", "-f", "-", stdin=cm(x="1", y="2")).ok()
    applied = apply(kubectl, cm(x="2"), "kubectl").ok()
    assert applied.stdout == "configmap/a serverside-applied\n"
    assert kubectl.run("get", "cm", "a", "-o", "json").ok().json["data"] == {"x": "2"}


@pytest.mark.parametrize(
    ("query", "body", "code", "message"),
    [
        ("", cm(), 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'),
        ("?fieldManager=" + "x" * 129, cm(), 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes'),
        ("?fieldManager=m", {**cm(), "metadata": {"name": "a", "managedFields": []}}, 400, "metadata.managedFields must be nil"),
        ("?fieldManager=m", {**cm(), "metadata": {"name": "a", "uid": "x"}}, 409, 'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid x, and no existing object was found'),
        ("?fieldManager=m", {**cm(), "apiVersion": "v2"}, 400, "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"),
        ("?fieldManager=m", {**cm(), "foo": 1}, 400, "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema"),
        ("?fieldManager=m", {**cm(), "data": {"x": 1}}, 400, "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.x: expected string, got &value.valueUnstructured{Value:1}"),
        ("?fieldManager=m", {**cm(), "metadata": {"name": "b"}}, 400, "the name of the object (b) does not match the name on the URL (a)"),
    ],
)  # fmt: skip
def test_malformed_applies(official: ApiClient, namespace: str, query: str, body: Obj, code: int, message: str) -> None:
    """Texts: apimachinery's ValidatePatchOptions, its managedfields package, and structured-merge-diff."""
    status = raw_patch(official, f"/api/v1/namespaces/{namespace}/configmaps/a{query}", body)
    assert (status["code"], status["message"]) == (code, message)


def test_formats_that_are_not_served(official: ApiClient, namespace: str, core: CoreV1Api) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    for media in ("application/apply-patch+cbor", "application/json"):
        status = raw_patch(official, f"/api/v1/namespaces/{namespace}/configmaps/a", {}, media)
        assert status["code"] == 415
        assert status["message"] == (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, "
            "application/apply-patch+yaml"
        )


def test_managed_fields_may_be_cleared(kubectl: Kubectl) -> None:
    """SSA, "Clearing managedFields": from then on nobody is noted until somebody applies; what was there then
    belongs to before-first-apply."""
    apply(kubectl, cm(x="1"), "one").ok()
    kubectl.run("patch", "cm", "a", "--type=merge", "-p", '{"metadata":{"managedFields":[{}]}}').ok()
    assert entries(kubectl, "cm", "a") == {}
    kubectl.run("label", "cm", "a", "l=1").ok()
    assert entries(kubectl, "cm", "a") == {}
    apply(kubectl, cm(y="2"), "two").ok()
    assert entries(kubectl, "cm", "a") == {
        ("before-first-apply", "Update", ""): {
            "f:data": {".": {}, "f:x": {}},
            "f:metadata": {"f:labels": {".": {}, "f:l": {}}},
        },
        ("two", "Apply", ""): {"f:data": {"f:y": {}}},
    }


def test_at_most_ten_updaters_are_noted(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    """KEP-555: the oldest are put together as ancient-changes."""
    core.create_namespaced_config_map(namespace, config_map("a", {"k": ""}), field_manager="m0")
    for number in range(12):
        core.patch_namespaced_config_map("a", namespace, {"data": {f"k{number}": ""}}, field_manager=f"m{number:02}")
    found = entries(kubectl, "cm", "a")
    assert len(found) == 10
    assert len(found[("ancient-changes", "Update", "")]["f:data"]) >= 3


def test_a_dry_run_changes_nothing(kubectl: Kubectl) -> None:
    dry = apply(kubectl, cm(x="1"), "one", "--dry-run=server").ok()
    assert dry.stdout == "configmap/a serverside-applied (server dry run)\n"
    assert kubectl.run("get", "cm", "a").failed().stderr == 'Error from server (NotFound): configmaps "a" not found\n'


def test_the_user_agent_names_the_manager(official: ApiClient, core: CoreV1Api, namespace: str) -> None:
    official.user_agent = "my-operator/v1.2 (linux)"
    made = core.create_namespaced_config_map(namespace, config_map("a", {"k": "v"}))
    assert [(e.manager, e.operation) for e in made.metadata.managed_fields] == [("my-operator", "Update")]


def test_the_bundled_kubectl_says_what_upstreams_says(kubectl: Kubectl, admin_kubeconfig: Path, namespace: str) -> None:
    ours = Kubectl(admin_kubeconfig, namespace, program=Path(sys.executable).with_name("kubectl"))
    assert apply(ours, cm(x="1"), "one").ok().stdout == "configmap/a serverside-applied\n"
    refused = apply(ours, cm(x="2"), "two").failed()
    assert refused.stderr == apply(kubectl, cm(x="2"), "two").failed().stderr
    assert apply(ours, cm(x="2"), "two", "--force-conflicts").ok().stdout == "configmap/a serverside-applied\n"
    assert "managedFields" not in ours.run("get", "cm", "a", "-o", "yaml").ok().stdout
    shown = ours.run("get", "cm", "a", "-o", "json", "--show-managed-fields").ok().json
    assert [e["manager"] for e in shown["metadata"]["managedFields"]] == ["two"]


def test_some_kinds_are_created_by_a_put(official: ApiClient, core: CoreV1Api, namespace: str) -> None:
    """Upstream's strategies whose AllowCreateOnUpdate is true (leases, roles, …); others are not found."""
    leases = CoordinationV1Api(official)
    made, code, _ = leases.replace_namespaced_lease_with_http_info("l", namespace, {"metadata": {"name": "l"}})
    assert (made.metadata.name, code) == ("l", 201)
    with pytest.raises(ApiException) as caught:
        core.replace_namespaced_config_map("a", namespace, config_map("a"))
    assert caught.value.status == 404


def test_owner_references_given_twice_are_warned_of(kubectl: Kubectl) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": "u"}
    twice = {**cm(), "metadata": {"name": "a", "ownerReferences": [owner, owner]}}
    told = kubectl.run("create", "-f", "-", stdin=twice).ok().stderr
    assert told.startswith("Warning: .metadata.ownerReferences contains duplicate entries; API server dedups")
    found = kubectl.run("get", "cm", "a", "-o", "json").ok().json
    assert found["metadata"]["ownerReferences"] == [owner]


def test_a_scale_of_another_version_is_refused(kubectl: Kubectl, official: ApiClient, namespace: str) -> None:
    apply(kubectl, deployment("web"), "one").ok()
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/web/scale?fieldManager=two&force=true"
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": 2}}
    assert raw_patch(official, path, {**scale, "apiVersion": "autoscaling/v2"})["message"] == (
        "Incorrect version specified in apply patch. Specified patch version: autoscaling/v2, expected: autoscaling/v1"
    )
    assert raw_patch(official, path, scale)["spec"] == {"replicas": 2}
    assert entries(kubectl, "deploy", "web")[("two", "Apply", "scale")] == {"f:spec": {"f:replicas": {}}}


def test_the_server_manages_what_it_makes(core: CoreV1Api) -> None:
    made = core.read_namespaced_service("kubernetes", "default")
    assert [e.manager for e in made.metadata.managed_fields] == ["kube-apiserver"]
