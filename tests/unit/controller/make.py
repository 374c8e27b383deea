"""Small objects for the tests of the control loops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.meta import Obj, rfc3339

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ago(seconds: float) -> str:
    return rfc3339(NOW - timedelta(seconds=seconds))


def pod(name: str, **options: Any) -> Obj:
    """Options: node, phase, ready (bool or seconds since), ip, labels, owner, deleting, created, restarts, spec."""
    obj: Obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1",
            "creationTimestamp": ago(options.get("created", 100)), "labels": options.get("labels", {}),
        },
        "spec": {"nodeName": options.get("node", "n1"), **options.get("spec", {})},
        "status": {"phase": options.get("phase", "Running"), "conditions": []},
    }  # fmt: skip
    ready = options.get("ready")
    if ready is not None and ready is not False:
        since = ago(60 if ready is True else ready)
        obj["status"]["conditions"].append({"type": "Ready", "status": "True", "lastTransitionTime": since})
    if options.get("ip"):
        obj["status"] |= {"podIP": options["ip"], "podIPs": [{"ip": options["ip"]}]}
    if options.get("deleting"):
        obj["metadata"]["deletionTimestamp"] = ago(1)
    if options.get("restarts"):
        obj["status"]["containerStatuses"] = [{"name": "c", "restartCount": options["restarts"]}]
    if options.get("annotations"):
        obj["metadata"]["annotations"] = options["annotations"]
    if options.get("owner"):
        obj["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": options["owner"],
             "uid": f"uid-{options['owner']}", "controller": True}
        ]  # fmt: skip
    return obj


def deployment(replicas: int = 3, image: str = "app:1", **spec: Any) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-web", "generation": 1,
                     "resourceVersion": "1"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image),
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }  # fmt: skip


def template(image: str) -> Obj:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": image}]},
    }


def replica_set(name: str, size: int, available: int | None = None, **options: Any) -> Obj:
    """Options: image, age, desired and max (annotations), revision, observed, pods (status.replicas)."""
    annotations = {}
    for option, key in (("desired", "desired-replicas"), ("max", "max-replicas"), ("revision", "revision")):
        if option in options:
            annotations[f"deployment.kubernetes.io/{key}"] = str(options[option])
    tmpl = template(options.get("image", name))
    tmpl["metadata"]["labels"]["pod-template-hash"] = name
    available = size if available is None else available
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": "default", "uid": f"uid-{name}", "generation": 1, "resourceVersion": "1",
            "creationTimestamp": ago(options.get("age", 10)), "annotations": annotations,
            "labels": dict(tmpl["metadata"]["labels"]),
        },
        "spec": {"replicas": size, "selector": {"matchLabels": tmpl["metadata"]["labels"]}, "template": tmpl},
        "status": {
            "replicas": options.get("pods", size), "availableReplicas": available, "readyReplicas": available,
            "observedGeneration": options.get("observed", 1),
        },
    }  # fmt: skip


def node(name: str = "n1", ready: str = "True", **options: Any) -> Obj:
    """Options: taints, labels, unschedulable, conditions (type → status), heartbeat (seconds ago)."""
    beat = ago(options.get("heartbeat", 5))
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat, "lastTransitionTime": ago(500)}]
    if not ready:
        conditions = []
    for type_, status in options.get("conditions", {}).items():
        conditions.append({"type": type_, "status": status, "lastHeartbeatTime": beat})
    spec: Obj = {"taints": options.get("taints", [])}
    if options.get("unschedulable"):
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1",
                     "labels": options.get("labels", {}), "creationTimestamp": ago(1000)},
        "spec": spec,
        "status": {"conditions": conditions},
    }  # fmt: skip


def service(selector: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-svc", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"} if selector is None else selector,
            "clusterIP": "10.96.0.7",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            **spec,
        },
    }
