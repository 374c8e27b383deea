"""The YAML the stories apply. All images are made locally by `sampan up`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness.cluster import HELLO


def documents(*objects: dict[str, Any]) -> str:
    """Several objects as one multi-document file (JSON is YAML)."""
    return "\n---\n".join(json.dumps(o, indent=1) for o in objects)


def pod(name: str, *containers: dict[str, Any], labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {"containers": list(containers), "terminationGracePeriodSeconds": 1, **spec},
    }


def shell(script: str, name: str = "main", **more: Any) -> dict[str, Any]:
    """A container that runs a shell script."""
    return {"name": name, "image": HELLO, "command": ["sh", "-c", script], **more}


def of_the_machine(*paths: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and mounts that show a pod these paths where they are on the machine."""
    found = [path for path in dict.fromkeys(paths) if path.exists()]
    volumes = [{"name": f"p{n}", "hostPath": {"path": str(path)}} for n, path in enumerate(found)]
    return volumes, [{"name": f"p{n}", "mountPath": str(path), "readOnly": True} for n, path in enumerate(found)]


SLEEP = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"


def web(name: str, replicas: int, node_port: int | None = None, image: str = HELLO, **template_spec: Any) -> str:
    """A Deployment of web servers that answer with their pod's name, and a Service in front of it."""
    container = {
        "name": "web",
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "2"]}}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 10, **template_spec},
            },
        },
    }
    port: dict[str, Any] = {"port": 80, "targetPort": "http"}
    if node_port:
        port["nodePort"] = node_port
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "NodePort" if node_port else "ClusterIP", "selector": {"app": name}, "ports": [port]},
    }
    return documents(deployment, service)
