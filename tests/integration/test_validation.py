"""Bad input gets a Status that names the field and the reason, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api

from api.builtin import DEPLOYMENTS
from api.errors import BadRequest, UnsupportedMedia
from client.http import ApiClient
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment, pod, service


def edited(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """`manifest` with one field set; a path such as spec.containers.0.name. None removes it."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    at: Any = manifest
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return manifest


@pytest.mark.parametrize(
    ("manifest", "messages"),
    [
        pytest.param(edited(pod("a"), "spec.containers", []),
                     ['The Pod "a" is invalid: spec.containers: Required value'], id="no containers"),
        pytest.param(edited(pod("a"), "spec.containers.0.image", None),
                     ["spec.containers[0].image: Required value"], id="no image"),
        pytest.param(edited(pod("a"), "spec.containers.0.name", "A_b"),
                     ['spec.containers[0].name: Invalid value: "A_b": a lowercase RFC 1123 label'], id="container name"),
        pytest.param(edited(pod("a"), "spec.restartPolicy", "Sometimes"),
                     ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
                     id="restart policy"),
        pytest.param(edited(pod("a"), "metadata.name", "Not_OK"),
                     ['metadata.name: Invalid value: "Not_OK": a lowercase RFC 1123 subdomain'], id="name"),
        pytest.param(edited(pod("a"), "metadata.labels", {"a b": "c"}),
                     ["metadata.labels: Invalid value:"], id="label key"),
        pytest.param(edited(pod("a"), "spec.containers.0.ports", [{"containerPort": 70000}]),
                     ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
                     id="port"),
        pytest.param(edited(pod("a"), "spec.containers.0.resources",
                            {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
                     ["spec.containers[0].resources.requests: Invalid value:", "must be less than or equal to cpu limit"],
                     id="request over limit"),
        pytest.param(edited(pod("a"), "spec.containers.0.volumeMounts", [{"name": "v", "mountPath": "/v"}]),
                     ['spec.containers[0].volumeMounts[0].name: Not found: "v"'], id="unknown volume"),
        pytest.param(edited(deployment("a"), "spec.template.metadata.labels", {"app": "other"}),
                     ["spec.template.metadata.labels: Invalid value:", "`selector` does not match template `labels`"],
                     id="selector"),
        pytest.param(edited(deployment("a"), "spec.replicas", -1),
                     ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"], id="replicas"),
        pytest.param(edited(service("a"), "spec.ports", []),
                     ["spec.ports: Required value"], id="service without ports"),
        pytest.param(edited(service("a"), "spec.type", "Magic"),
                     ['spec.type: Unsupported value: "Magic"'], id="service type"),
        pytest.param(config_map("a", {"bad key!": "x"}),
                     ["data[bad key!]: Invalid value:"], id="config map key"),
    ],
)  # fmt: skip
def test_a_broken_rule_names_its_field(kubectl: Kubectl, manifest: dict[str, Any], messages: list[str]) -> None:
    refused = kubectl.run("create", "--validate=false", "-f", "-", stdin=manifest).failed()
    for message in messages:
        assert message in refused.stderr
    kind = manifest["kind"].lower()
    assert kubectl.run("get", kind, "-o", "name").ok().stdout == ""


def test_every_broken_rule_is_told_at_once(core: CoreV1Api, namespace: str) -> None:
    body = pod("a")
    body["spec"]["restartPolicy"] = "Sometimes"
    body["spec"]["containers"] = [{"name": "A"}]
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_pod(namespace, body)
    status = json.loads(caught.value.body)
    assert (status["code"], status["reason"], status["details"]["kind"]) == (422, "Invalid", "Pod")
    fields = {cause["field"] for cause in status["details"]["causes"]}
    assert {"spec.restartPolicy", "spec.containers[0].name", "spec.containers[0].image"} <= fields


async def test_a_wrong_type_names_the_field(ours: ApiClient, namespace: str) -> None:
    body = deployment("a")
    body["spec"]["replicas"] = "three"
    with pytest.raises(BadRequest) as caught:
        await ours.request("POST", DEPLOYMENTS.path(namespace), json=body)
    assert "spec.replicas" in caught.value.message


def test_unknown_fields_are_warned_of_or_refused(kubectl: Kubectl) -> None:
    typo = edited(pod("a"), "spec.containers.0.imagee", "x")
    strict = kubectl.run("create", "--validate=strict", "-f", "-", stdin=typo).failed()
    assert 'strict decoding error: unknown field "spec.containers[0].imagee"' in strict.stderr
    warned = kubectl.run("create", "--validate=warn", "-f", "-", stdin=typo).ok()
    assert 'Warning: unknown field "spec.containers[0].imagee"' in warned.stderr
    kubectl.run("delete", "pod", "a").ok()
    silent = kubectl.run("create", "--validate=ignore", "-f", "-", stdin=typo).ok()
    assert silent.stderr == ""


async def test_what_is_not_json_is_400_and_other_media_415(ours: ApiClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with pytest.raises(BadRequest):
        await ours.request("POST", path, content=b"{nonsense", headers={"Content-Type": "application/json"})
    with pytest.raises(BadRequest):
        await ours.request("POST", path, content=b"[]", headers={"Content-Type": "application/json"})
    with pytest.raises(UnsupportedMedia):
        await ours.request("POST", path, content=b"x", headers={"Content-Type": "text/html"})


async def test_names_and_namespaces_must_agree_with_the_path(ours: ApiClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with pytest.raises(BadRequest) as other:
        await ours.request("POST", path, json=config_map("a", namespace="elsewhere"))
    assert "does not match" in other.value.message
    await ours.request("POST", path, json=config_map("a"))
    with pytest.raises(BadRequest) as renamed:
        await ours.request("PUT", f"{path}/a", json=config_map("b"))
    assert "does not match" in renamed.value.message


def test_what_may_not_change_stays(core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("a"))
    with pytest.raises(ApiException) as caught:
        core.patch_namespaced_pod("a", namespace, {"spec": {"restartPolicy": "Never"}})
    assert caught.value.status == 422
    assert "pod updates may not change fields other than" in caught.value.body
    core.patch_namespaced_pod("a", namespace, {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}})
    made = core.create_namespaced_config_map(namespace, {**config_map("b", {"k": "v"}), "immutable": True})
    with pytest.raises(ApiException) as frozen:
        core.patch_namespaced_config_map(made.metadata.name, namespace, {"data": {"k": "w"}})
    assert "field is immutable when `immutable` is set" in frozen.value.body
