"""Helm's own Go code: install, upgrade, test, roll back and uninstall a chart with hooks and a kind of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import helm_python as helm
from kubernetes import client, config

NAMESPACE, IMAGE = os.environ["NAMESPACE"], os.environ["IMAGE"]
CHART = helm.Chart.load(str(Path(sys.argv[0]).parent / "chart"))

api = config.new_client_from_config()
core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
lamps = client.CustomObjectsApi(api)


def pods() -> set[str]:
    return {pod.metadata.name for pod in core.list_namespaced_pod(NAMESPACE).items}


with helm.Config(kubeconfig_path=os.environ["KUBECONFIG"], namespace=NAMESPACE) as setup:
    made = setup.install(CHART, "boat", {"image": IMAGE}, wait="watcher", timeout=90)
    assert made["status"] == "deployed", made
    assert "boat-pre-install" in pods()
    assert apps.read_namespaced_deployment("boat", NAMESPACE).status.ready_replicas == 1
    lamp = lamps.get_namespaced_custom_object("helm.example.com", "v1", NAMESPACE, "lamps", "boat")
    assert lamp["spec"] == {"lit": True}
    secret = core.read_namespaced_secret("sh.helm.release.v1.boat.v1", NAMESPACE)
    assert secret.type == "helm.sh/release.v1"

    more = {"image": IMAGE, "replicas": 2, "text": "second"}
    setup.upgrade(CHART, "boat", more, wait="watcher", timeout=90)
    assert core.read_namespaced_config_map("boat", NAMESPACE).data == {"text": "second", "revision": "2"}
    assert apps.read_namespaced_deployment("boat", NAMESPACE).status.ready_replicas == 2
    assert "boat-post-upgrade" in pods()

    setup.test("boat", timeout=90, logs=True)

    setup.rollback("boat", version=1, wait="watcher", timeout=90)
    assert core.read_namespaced_config_map("boat", NAMESPACE).data["text"] == "first"
    assert apps.read_namespaced_deployment("boat", NAMESPACE).spec.replicas == 1
    assert "boat-pre-rollback" in pods()
    assert [release["revision"] for release in setup.history("boat")] == [1, 2, 3]

    setup.uninstall("boat", wait="watcher", timeout=90)
    left = {d.metadata.name for d in apps.list_namespaced_deployment(NAMESPACE).items}
    assert not left, left
    assert "boat-post-delete" in pods()
    assert not [s for s in core.list_namespaced_secret(NAMESPACE).items if s.type == "helm.sh/release.v1"]
print("done")
