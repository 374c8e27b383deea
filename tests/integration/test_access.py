"""Who gets in: 401 for unknown credentials, 403 for known ones without a grant, health for everybody."""

from __future__ import annotations

import json

import kubernetes.config
import pytest
from kubernetes.client import ApiException, CoreV1Api, VersionApi

from client.kubeconfig import RestConfig, document_for
from tests.harness.apiserver import ApiServer
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, pod


def acting(config: RestConfig) -> CoreV1Api:
    document = document_for(config, "someone")
    return CoreV1Api(kubernetes.config.new_client_from_config_dict(document))


def refusal(call: object, *arguments: object) -> tuple[int, dict[str, object]]:
    assert callable(call)
    with pytest.raises(ApiException) as caught:
        call(*arguments)
    return caught.value.status, json.loads(caught.value.body)


def test_an_unknown_token_is_401(apiserver: ApiServer, namespace: str) -> None:
    code, status = refusal(acting(apiserver.bearer("wrong")).list_namespaced_pod, namespace)
    assert (code, status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")


def test_nobody_in_particular_sees_health_and_version_only(apiserver: ApiServer, namespace: str) -> None:
    core = acting(apiserver.anonymous())
    assert refusal(core.list_namespaced_pod, namespace)[0] in (401, 403)
    assert VersionApi(core.api_client).get_code().git_version.startswith("v1.35.")
    for path in ("/healthz", "/livez", "/readyz"):
        answer = core.api_client.rest_client.request("GET", apiserver.url + path)
        assert (answer.status, answer.read()) == (200, b"ok")
    for path in ("/api", "/apis", "/openapi/v3", "/metrics"):
        answer = core.api_client.rest_client.request("GET", apiserver.url + path)
        assert answer.status in (401, 403), path


def test_a_known_user_without_a_grant_is_403(apiserver: ApiServer, namespace: str) -> None:
    for config in (apiserver.bearer("visitor-token"), apiserver.identity("visitor")):
        code, status = refusal(acting(config).list_namespaced_pod, namespace)
        assert code == 403
        assert status["reason"] == "Forbidden"
        assert status["message"] == (
            'pods is forbidden: User "visitor" cannot list resource "pods" in API group "" '
            f'in the namespace "{namespace}"'
        )


def test_a_token_of_an_administrator_is_enough(apiserver: ApiServer, namespace: str) -> None:
    acting(apiserver.bearer("steward-token")).create_namespaced_config_map(namespace, config_map("a"))


def test_kubectl_explains_the_refusal(apiserver: ApiServer, namespace: str) -> None:
    path = apiserver.kubeconfig(apiserver.bearer("visitor-token"), "visitor")
    refused = Kubectl(path, namespace).run("get", "--raw", f"/api/v1/namespaces/{namespace}/secrets").failed()
    assert refused.stderr.startswith('Error from server (Forbidden): secrets is forbidden: User "visitor" cannot list')


def test_a_node_writes_its_own_pods_only(apiserver: ApiServer, core: CoreV1Api, namespace: str) -> None:
    for name, node in (("mine", "n1"), ("other", "n2")):
        body = pod(name)
        body["spec"]["nodeName"] = node
        core.create_namespaced_pod(namespace, body)
    kubelet = acting(apiserver.identity("system:node:n1", "system:nodes"))
    running = {"status": {"phase": "Running"}}
    kubelet.patch_namespaced_pod_status("mine", namespace, running)
    assert refusal(kubelet.patch_namespaced_pod_status, "other", namespace, running)[0] == 403
    assert refusal(kubelet.delete_namespaced_pod, "other", namespace)[0] == 403
    assert refusal(kubelet.create_namespaced_config_map, namespace, config_map("a"))[0] == 403
    labelled = refusal(kubelet.patch_namespaced_pod_status, "mine", namespace, {"metadata": {"labels": {"a": "b"}}})
    assert labelled[0] == 403 and 'node "n1" cannot update labels through pod status' in labelled[1]["message"]
    assert refusal(kubelet.patch_node, "n2", {"metadata": {"labels": {"a": "b"}}})[0] in (403, 404)


def test_a_pods_account_gets_a_token_that_works(apiserver: ApiServer, core: CoreV1Api, namespace: str) -> None:
    token = core.create_namespaced_service_account_token("default", namespace, {"spec": {}}).status.token
    code, status = refusal(acting(apiserver.bearer(token)).list_namespaced_pod, namespace)
    assert code == 403
    assert f'User "system:serviceaccount:{namespace}:default" cannot list' in str(status["message"])
    core.delete_namespaced_service_account("default", namespace)
    assert refusal(acting(apiserver.bearer(token)).list_namespaced_pod, namespace)[0] == 401
