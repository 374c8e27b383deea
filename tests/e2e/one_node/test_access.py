"""Who gets in, and reading the cluster without kubectl."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml

from tests.e2e import manifests
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync


@pytest.fixture
def admin(cluster: Cluster, tmp_path: Path) -> tuple[str, ssl.SSLContext, ssl.SSLContext]:
    """The server's address, a context without and one with the administrator's certificate."""
    config = yaml.safe_load(cluster.sampan("kubeconfig").stdout)
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    ca = base64.b64decode(server["certificate-authority-data"]).decode()
    pair = tmp_path / "admin.pem"
    pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
    anonymous = ssl.create_default_context(cadata=ca)
    known = ssl.create_default_context(cadata=ca)
    known.load_cert_chain(pair)
    return str(server["server"]), anonymous, known


def _get(url: str, context: ssl.SSLContext, token: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=context) as answer:
            body, code = answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        body, code = error.read().decode(), error.code
    return code, json.loads(body) if body.startswith("{") else body


@pytest.mark.parametrize(
    "path",
    ["/api", "/apis", "/api/v1/pods", "/api/v1/namespaces/default/pods/x/log", "/metrics", "/openapi/v3",
     "/apis/apps/v1/deployments", "/api/v1/namespaces/default/secrets/x"],
)  # fmt: skip
def test_nothing_without_credentials(admin: Any, path: str) -> None:
    server, anonymous, _ = admin
    code, status = _get(server + path, anonymous)
    assert code in (401, 403)
    assert (status["kind"], status["code"]) == ("Status", code)
    code, status = _get(server + path, anonymous, token="wrong")
    assert (code, status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
def test_health_and_version_are_for_everyone(admin: Any, path: str) -> None:
    server, anonymous, _ = admin
    assert _get(server + path, anonymous)[0] == 200


def test_the_kubelet_lets_nobody_in_but_the_apiserver(cluster: Cluster, admin: Any) -> None:
    _, anonymous, _ = admin
    for path in ("/pods", "/containerLogs/default/x/y"):
        assert _get(f"https://{cluster.node_ip()}:10250{path}", anonymous)[0] in (401, 403)


def test_a_component_may_not_do_what_is_not_its_business(cluster: Cluster) -> None:
    kubeconfig = str(cluster.data / "scheduler.kubeconfig")
    done = cluster.kubectl("--kubeconfig", kubeconfig, "delete", "namespace", "default", check=False)
    assert done.returncode == 1
    assert (
        'namespaces "default" is forbidden: User "system:kube-scheduler" cannot delete resource "namespaces" '
        'in API group "" in the namespace "default"'
        in done.stderr
        or 'User "system:kube-scheduler" cannot delete resource "namespaces" in API group "" at the cluster scope'
        in done.stderr
    ), done.stderr


def test_a_malformed_manifest_names_the_field(cluster: Cluster, namespace: str) -> None:
    bad = manifests.documents(
        manifests.pod("p", {"name": "main", "image": "x", "ports": [{"containerPort": "eighty"}]})
    )
    done = cluster.kubectl("apply", "-f", "-", namespace=namespace, stdin=bad, check=False)
    assert done.returncode == 1
    assert "spec.containers" in done.stderr and "containerPort" in done.stderr, done.stderr
    bad = manifests.documents(manifests.pod("p", {"name": "main", "imagee": "x"}))
    done = cluster.kubectl("apply", "-f", "-", namespace=namespace, stdin=bad, check=False)
    assert 'unknown field "spec.containers[0].imagee"' in done.stderr, done.stderr


def test_status_by_plain_curl(cluster: Cluster, namespace: str, admin: Any) -> None:
    server, _, known = admin
    cluster.apply(manifests.documents(manifests.pod("p", manifests.shell(manifests.SLEEP))), namespace)
    cluster.wait_ready("app=p", 1, namespace)
    code, pod = _get(f"{server}/api/v1/namespaces/{namespace}/pods/p/status", known)
    assert (code, pod["status"]["phase"]) == (200, "Running")


def test_the_official_python_client(cluster: Cluster, namespace: str) -> None:
    """Creates, watches, patches, reads logs of and deletes a pod."""
    client = kubernetes.config.new_client_from_config(str(cluster.kubeconfig))
    core = kubernetes.client.CoreV1Api(client)
    body = manifests.pod("p", manifests.shell(f"echo hello; {manifests.SLEEP}"))
    core.create_namespaced_pod(namespace, body)
    phases: list[str] = []
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_pod, namespace, timeout_seconds=60):
        phases.append(event["object"].status.phase)
        if phases[-1] == "Running":
            watch.stop()
    assert phases[0] == "Pending" and phases[-1] == "Running"
    patched = core.patch_namespaced_pod("p", namespace, {"metadata": {"labels": {"colour": "blue"}}})
    assert patched.metadata.labels["colour"] == "blue"
    eventually_sync(lambda: core.read_namespaced_pod_log("p", namespace) == "hello\n", "the log is there")
    said = kubernetes.stream.stream(
        core.connect_get_namespaced_pod_exec, "p", namespace, command=["echo", "through exec"],
        stdout=True, stderr=True, stdin=False, tty=False,
    )  # fmt: skip
    assert said == "through exec\n"
    core.delete_namespaced_pod("p", namespace, grace_period_seconds=0)

    def gone() -> bool:
        try:
            core.read_namespaced_pod("p", namespace)
        except kubernetes.client.ApiException as error:
            return bool(error.status == 404)
        return False

    eventually_sync(gone, "the pod is gone", within=30)
