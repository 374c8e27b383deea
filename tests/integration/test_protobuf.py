"""What unmodified Go clients send as protobuf, judged by what they would have sent as JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException, CoreV1Api

from tests.harness.apiserver import ApiServer
from tests.harness.protobuf import MEDIA_TYPE, body, message
from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod


def within(part: Any, whole: Any) -> bool:
    """Whether all that `part` says, `whole` says too."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and within(v, whole[k]) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


@pytest.mark.parametrize(
    "command",
    [
        "configmap settings --from-literal=color=blue --from-literal=empty=",
        "secret generic login --from-literal=password=hunter2",
        "deployment web --image=nginx:1 --replicas=0 --port=80",
        "service clusterip web --tcp=80:8080",
        "service nodeport door --tcp=80:http",
        "service externalname far --external-name=example.com",
        "serviceaccount bot",
    ],
)
def test_create_makes_what_a_dry_run_shows(kubectl: Kubectl, command: str) -> None:
    words = ("create", *command.split())
    shown = kubectl.run(*words, "--dry-run=client", "-o", "json").ok().json
    made = kubectl.run(*words, "-o", "json").ok().json
    assert made["metadata"].pop("uid")
    assert made["metadata"].pop("creationTimestamp")
    shown.pop("status", None)  # the server's to say
    assert within(shown, made), f"{json.dumps(shown)} is not within {json.dumps(made)}"


def test_bytes_arrive_as_they_were(kubectl: Kubectl, core: CoreV1Api, tmp_path: Any) -> None:
    raw = bytes(range(256))
    (tmp_path / "blob").write_bytes(raw)
    kubectl.run("create", "configmap", "blob", f"--from-file={tmp_path / 'blob'}").ok()
    kubectl.run("create", "secret", "generic", "blob", f"--from-file={tmp_path / 'blob'}").ok()
    encoded = base64.b64encode(raw).decode()
    assert core.read_namespaced_config_map("blob", kubectl.namespace).binary_data == {"blob": encoded}
    assert core.read_namespaced_secret("blob", kubectl.namespace).data == {"blob": encoded}


def test_a_namespace_comes_and_goes(kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-b"[-63:].strip("-")
    assert kubectl.run("create", "namespace", name).ok().stdout == f"namespace/{name} created\n"
    again = kubectl.run("create", "namespace", name).failed()
    assert again.stderr == f'Error from server (AlreadyExists): namespaces "{name}" already exists\n'
    kubectl.run("delete", "namespace", name, "--wait=false").ok()


def test_a_name_that_breaks_the_rules_is_told_of(kubectl: Kubectl) -> None:
    failed = kubectl.run("create", "configmap", "Not_A_Name").failed()
    assert 'ConfigMap "Not_A_Name" is invalid: metadata.name' in failed.stderr


def test_a_token_made_for_an_account_opens_the_door(apiserver: ApiServer, kubectl: Kubectl) -> None:
    kubectl.run("create", "serviceaccount", "bot").ok()
    token = kubectl.run("create", "token", "bot", "--duration=10m").ok().stdout.strip()
    bot = Kubectl(apiserver.kubeconfig(apiserver.bearer(token), "bot"), kubectl.namespace)
    told = bot.run("auth", "whoami", "-o", "json").ok().json["status"]["userInfo"]
    assert told["username"] == f"system:serviceaccount:{kubectl.namespace}:bot"


def test_who_am_i_and_what_may_i(kubectl: Kubectl) -> None:
    assert kubectl.run("auth", "whoami", "-o", "json").ok().json["status"]["userInfo"]["username"] == "kubernetes-admin"
    assert kubectl.run("auth", "can-i", "create", "pods").ok().stdout == "yes\n"
    assert kubectl.run("auth", "can-i", "create", "pods", "--as=nobody").failed().stdout.startswith("no")


def test_an_update_may_be_protobuf(core: CoreV1Api, official: ApiClient, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    created = message((1, int(made.metadata.creation_timestamp.timestamp())), (2, 0))
    metadata = message((1, "a"), (5, made.metadata.uid), (6, made.metadata.resource_version), (8, created))
    changed = body("v1", "ConfigMap", message((1, metadata), (2, message((1, "k"), (2, "w")))))
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    code, obj = _send(official, "PUT", path, changed)
    assert (code, obj["data"]) == (200, {"k": "w"})
    code, status = _send(official, "PUT", path, changed)
    assert (code, status["reason"]) == (409, "Conflict")


def test_an_eviction_may_be_protobuf(core: CoreV1Api, official: ApiClient, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("p"))
    eviction = body("policy/v1", "Eviction", message((1, message((1, "p"))), (2, message((1, 0)))))
    path = f"/api/v1/namespaces/{namespace}/pods/p/eviction"
    assert _send(official, "POST", path, eviction)[0] == 201
    assert core.list_namespaced_pod(namespace).items == []


def test_delete_options_may_be_protobuf(core: CoreV1Api, official: ApiClient, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}})
    path = f"/api/v1/namespaces/{namespace}/configmaps/a"
    dry_run = body("v1", "DeleteOptions", message((5, "All")))
    assert _send(official, "DELETE", path, dry_run)[0] == 200
    core.read_namespaced_config_map("a", namespace)
    assert _send(official, "DELETE", path, body("v1", "DeleteOptions", b""))[0] == 200
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("a", namespace)
    assert gone.value.status == 404


@pytest.mark.parametrize("damaged", [b"k8s\0", b"not protobuf", b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x7f"])
def test_damage_is_a_bad_request(official: ApiClient, namespace: str, damaged: bytes) -> None:
    code, status = _send(official, "POST", f"/api/v1/namespaces/{namespace}/configmaps", damaged)
    assert (code, status["reason"]) == (400, "BadRequest")
    assert status["message"].startswith("error decoding body: ")


def _send(official: ApiClient, verb: str, path: str, sent: bytes) -> tuple[int, Any]:
    """(status code, answer) to a body sent as client-go sends it."""
    headers = {"Content-Type": MEDIA_TYPE, "Accept": f"{MEDIA_TYPE},application/json"}
    url = official.configuration.host + path
    answer = official.rest_client.pool_manager.request(verb, url, body=sent, headers=headers, retries=False)
    return answer.status, json.loads(answer.data)
