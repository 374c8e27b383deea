"""Pods and their accounts at the door, with upstream's kubectl and a controller that makes what every namespace has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.harness.apiserver import ApiServer
from tests.harness.eventually import eventually_sync
from tests.harness.process import Process
from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod

AT = "/var/run/secrets/kubernetes.io/serviceaccount"


def made(kubectl: Kubectl, name: str, *flags: str, **spec: Any) -> Any:
    body = pod(name)
    body["spec"] |= spec
    kubectl.run("create", *flags, "-f", "-", stdin=body).ok()
    return kubectl.run("get", *flags, "pod", name, "-o", "json").ok().json["spec"]


def test_what_a_pod_is_given(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/ : the account's token and pull
    secrets, unless the pod or its account says otherwise; nothing of it belongs to whoever made the pod."""
    kubectl.run("create", "serviceaccount", "build-robot").ok()
    patch = '{"imagePullSecrets": [{"name": "myregistrykey"}]}'
    kubectl.run("patch", "serviceaccount", "build-robot", "-p", patch).ok()
    spec = made(kubectl, "robot", serviceAccountName="build-robot")
    (volume,) = spec["volumes"]
    assert [next(iter(s)) for s in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    assert spec["containers"][0]["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": AT}]
    assert spec["imagePullSecrets"] == [{"name": "myregistrykey"}]
    owned = kubectl.run("get", "pod", "robot", "-o", "json", "--show-managed-fields").ok().json["metadata"]
    assert "kube-api-access" not in str(owned["managedFields"])
    assert volume["name"] in kubectl.run("describe", "pod", "robot").ok().stdout
    assert "volumes" not in made(kubectl, "own", serviceAccountName="build-robot", automountServiceAccountToken=False)


def test_an_account_must_be_there(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#serviceaccount-admission-controller"""
    body = pod("p")
    body["spec"]["serviceAccountName"] = "nobody"
    refused = kubectl.run("create", "-f", "-", stdin=body).failed().stderr
    assert (
        f'pods "p" is forbidden: error looking up service account {kubectl.namespace}/nobody: '
        'serviceaccount "nobody" not found' in refused
    )
    kubectl.run("create", "serviceaccount", "strict").ok()
    kubectl.run("annotate", "serviceaccount", "strict", "kubernetes.io/enforce-mountable-secrets=true").ok()
    kubectl.run("create", "secret", "generic", "other").ok()
    body["spec"] |= {"serviceAccountName": "strict", "volumes": [{"name": "v", "secret": {"secretName": "other"}}]}
    refused = kubectl.run("create", "-f", "-", stdin=body).failed().stderr
    assert (
        'volume with secret.secretName="other" is not allowed because service account strict does not reference that '
        "secret" in refused
    )


def test_a_namespace_and_a_pod_in_it_right_after(
    apiserver: ApiServer, kubectl: Kubectl, start_controller: Callable[..., Process]
) -> None:
    """The door waits for the account that the controller makes; kube-root-ca.crt is there by then or right after."""
    start_controller("--root-ca-file", apiserver.pki.file("ca.crt"))
    for number in range(3):
        name = f"{kubectl.namespace}-{number}"
        kubectl.run("create", "namespace", name).ok()
        try:
            spec = made(kubectl, "p", "-n", name)
            assert spec["volumes"][0]["name"].startswith("kube-api-access-")
            ca = ("get", "-n", name, "configmap", "kube-root-ca.crt", "-o", "jsonpath={.data.ca\\.crt}")
            eventually_sync(lambda: "BEGIN CERTIFICATE" in kubectl.run(*ca).stdout, "the CA is there")  # noqa: B023
        finally:
            kubectl.run("delete", "namespace", name, "--wait=false").ok()
