"""The official Python client: its dynamic and its typed API. Create, watch, patch, apply, exec, delete."""

from __future__ import annotations

import os
import time

from kubernetes import client, config, watch
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.stream import stream

NAMESPACE, IMAGE = os.environ["NAMESPACE"], os.environ["IMAGE"]
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; echo hello; while true; do sleep 1 & wait $!; done"]

api = config.new_client_from_config()


def deployment(replicas: int) -> dict:
    labels = {"app": "dynamic"}
    container = {"name": "main", "image": IMAGE, "command": SLEEP}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dynamic", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
        },
    }


def dynamic() -> None:
    dyn = DynamicClient(api)
    deployments = dyn.resources.get(api_version="apps/v1", kind="Deployment")
    pods = dyn.resources.get(api_version="v1", kind="Pod")
    made = deployments.create(body=deployment(1), namespace=NAMESPACE)
    assert made.metadata.uid and made.spec.strategy.type == "RollingUpdate"
    for event in deployments.watch(namespace=NAMESPACE, name="dynamic", timeout=60):
        if event["object"].status.readyReplicas == 1:
            break
    else:
        raise AssertionError("the deployment did not become ready")
    patched = deployments.patch(
        name="dynamic", namespace=NAMESPACE, body={"metadata": {"labels": {"a": "b"}}},
        content_type="application/merge-patch+json",
    )  # fmt: skip
    assert patched.metadata.labels.a == "b"
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dynamic"}, "spec": {"replicas": 2}}
    try:
        deployments.server_side_apply(body=wanted, namespace=NAMESPACE, field_manager="story")
        raise AssertionError("two managers, two opinions, and no conflict")
    except ConflictError as error:
        assert "Apply failed with 1 conflict" in str(error), error
    applied = deployments.server_side_apply(
        body=wanted, namespace=NAMESPACE, field_manager="story", force_conflicts=True
    )
    assert applied.spec.replicas == 2
    managers = {entry.manager: entry.operation for entry in applied.metadata.managedFields}
    assert managers["story"] == "Apply", managers
    while len(pods.get(namespace=NAMESPACE, label_selector="app=dynamic").items) != 2:
        time.sleep(0.1)
    scaled = deployments.scale.patch(
        name="dynamic", namespace=NAMESPACE, body={"spec": {"replicas": 0}}, content_type="application/merge-patch+json"
    )
    assert scaled.spec.replicas == 0
    deployments.delete(name="dynamic", namespace=NAMESPACE, body={"propagationPolicy": "Foreground"})
    for event in deployments.watch(namespace=NAMESPACE, name="dynamic", timeout=60):
        if event["type"] == "DELETED":
            break
    try:
        deployments.get(name="dynamic", namespace=NAMESPACE)
        raise AssertionError("it is still there")
    except NotFoundError:
        pass


def typed() -> None:
    core = client.CoreV1Api(api)
    container = client.V1Container(name="main", image=IMAGE, command=SLEEP)
    body = client.V1Pod(
        metadata=client.V1ObjectMeta(name="typed"),
        spec=client.V1PodSpec(containers=[container], termination_grace_period_seconds=1),
    )
    core.create_namespaced_pod(NAMESPACE, body)
    watching = watch.Watch()
    phases = []
    for event in watching.stream(core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=typed"):
        phases.append(event["object"].status.phase)
        if phases[-1] == "Running":
            watching.stop()
    assert phases[0] == "Pending", phases
    said = stream(
        core.connect_get_namespaced_pod_exec, "typed", NAMESPACE, command=["sh", "-c", "read x; echo got $x"],
        stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False,
    )  # fmt: skip
    said.write_stdin("this\n")
    said.run_forever(timeout=20)
    assert said.read_stdout() == "got this\n" and said.returncode == 0
    failed = stream(
        core.connect_get_namespaced_pod_exec, "typed", NAMESPACE, command=["sh", "-c", "exit 3"],
        stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False,
    )  # fmt: skip
    failed.run_forever(timeout=20)
    assert failed.returncode == 3
    for line in watch.Watch().stream(core.read_namespaced_pod_log, name="typed", namespace=NAMESPACE):
        assert line == "hello"
        break
    patched = core.patch_namespaced_pod("typed", NAMESPACE, {"metadata": {"labels": {"colour": "blue"}}})
    assert patched.metadata.labels == {"colour": "blue"}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}
    for value in ("1", "2"):
        settings["data"] = {"a": value}
        kept = core.patch_namespaced_config_map(
            "settings", NAMESPACE, settings, field_manager="typed", _content_type="application/apply-patch+yaml"
        )
        assert kept.data == {"a": value}
    page = core.list_namespaced_config_map(NAMESPACE, limit=1)
    assert len(page.items) == 1 and page.metadata._continue
    core.delete_namespaced_pod("typed", NAMESPACE)
    for event in watch.Watch().stream(
        core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=typed", timeout_seconds=60
    ):
        if event["type"] == "DELETED":
            return
    raise AssertionError("the pod did not go")


typed()
dynamic()
print("done")
