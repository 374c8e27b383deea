"""A kopf operator with a kind of its own: every Greeting gets a ConfigMap, and says so in its status."""

from __future__ import annotations

from typing import Any

import kopf
import kubernetes

kubernetes.config.load_kube_config()


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.level = 20
    settings.persistence.finalizer = "stories.example.com/kopf"


@kopf.on.create("stories.example.com", "v1", "greetings")
@kopf.on.update("stories.example.com", "v1", "greetings", field="spec")
def greet(spec: Any, name: str, namespace: str, patch: kopf.Patch, logger: Any, **_: Any) -> dict[str, str]:
    core = kubernetes.client.CoreV1Api()
    body: Any = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"text": f"hello {spec['who']}"},
    }
    kopf.adopt(body)
    try:
        core.create_namespaced_config_map(namespace, body)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(name, namespace, body)
    patch.status["text"] = body["data"]["text"]
    logger.info("greeted %s", spec["who"])
    return {"who": spec["who"]}


@kopf.on.delete("stories.example.com", "v1", "greetings")
def farewell(name: str, namespace: str, **_: Any) -> None:
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, {"metadata": {"name": f"bye-{name}"}})


@kopf.on.event("stories.example.com", "v1", "greetings")
def seen(event: Any, name: str, **_: Any) -> None:
    print(f"event {event['type']} {name}", flush=True)
