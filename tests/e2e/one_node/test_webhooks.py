"""Admission webhooks that run in the cluster that asks them."""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.certificates import Request, issue, new_authority
from tests.e2e import manifests
from tests.harness import foreign
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync
from tests.harness.foreign import STORIES

_GROUP = "admissionregistration.k8s.io/v1"


def _server(namespace: str, secret: str) -> dict[str, Any]:
    """The machine's Python in a pod, with a certificate from a Secret."""
    python = Path(foreign.program("python"))
    volumes, mounts = manifests.of_the_machine(
        *map(Path, ("/usr", "/lib", "/lib64", sys.base_prefix)), python.parents[1], STORIES
    )
    container = manifests.shell(
        "", command=[str(python), str(STORIES / "admission_webhook.py")],
        volumeMounts=[*mounts, {"name": "tls", "mountPath": "/tls", "readOnly": True}],
        readinessProbe={"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    )  # fmt: skip
    return manifests.pod("hook", container, volumes=[*volumes, {"name": "tls", "secret": {"secretName": secret}}])


def test_a_webhook_in_a_pod(cluster: Cluster, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference"""
    now = datetime.now(UTC)
    authority = new_authority("webhooks", now)
    pair = issue(authority, Request("hook", names=(f"hook.{namespace}.svc",), server=True), now)
    encoded = {name: base64.b64encode(pem).decode() for name, pem in
               (("tls.crt", pair.certificate), ("tls.key", pair.key))}  # fmt: skip
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "type": "kubernetes.io/tls",
              "data": encoded}  # fmt: skip
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
               "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443, "targetPort": 8443}]}}  # fmt: skip
    cluster.apply(manifests.documents(secret, service, _server(namespace, "tls")), namespace)
    cluster.wait_ready("app=hook", 1, namespace)

    def configuration(kind: str, path: str) -> dict[str, Any]:
        webhook = {
            "name": "hook.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"],
                       "resources": ["configmaps"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "clientConfig": {"service": {"namespace": namespace, "name": "hook", "path": path},
                             "caBundle": base64.b64encode(authority.certificate).decode()},
        }  # fmt: skip
        return {"apiVersion": _GROUP, "kind": kind, "metadata": {"name": namespace}, "webhooks": [webhook]}

    kinds = {"MutatingWebhookConfiguration": "/mutate", "ValidatingWebhookConfiguration": "/validate"}
    try:
        cluster.apply(manifests.documents(*(configuration(kind, path) for kind, path in kinds.items())))

        def works() -> bool:
            made = cluster.kubectl("create", "configmap", "good", namespace=namespace, check=False)
            return made.returncode == 0

        eventually_sync(works, "the webhook is behind its Service", within=30)
        good = cluster.get("configmap", "good", namespace=namespace)
        assert good["metadata"]["labels"] == {"seen": "yes"}
        bad = cluster.kubectl("create", "configmap", "bad", namespace=namespace, check=False)
        assert 'admission webhook "hook.example.com" denied the request: bad is bad' in bad.stderr
        cluster.kubectl("delete", "pod", "hook", "--now", namespace=namespace)

        def refused() -> bool:
            made = cluster.kubectl("create", "configmap", "later", namespace=namespace, check=False)
            cluster.kubectl("delete", "configmap", "later", "--ignore-not-found", namespace=namespace)
            return 'failed calling webhook "hook.example.com": failed to call webhook: Post' in made.stderr

        eventually_sync(refused, "nothing comes in without the webhook", within=30)
    finally:
        for kind in kinds:
            cluster.kubectl("delete", kind, namespace, "--ignore-not-found")
