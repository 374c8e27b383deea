"""One object, several versions: what is written through one is read, listed and watched through the other.

https://kubernetes.io/docs/reference/using-api/#api-groups-and-versioning ("the API server handles the conversion
between API versions transparently"); the fields are those of autoscaling/v1 and v2, core/v1 and events.k8s.io/v1.
"""

from __future__ import annotations

import json
from typing import Any

from kubernetes.client import CoreV1Api

from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl


def autoscaler(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "minReplicas": 2,
            "maxReplicas": 5,
            "targetCPUUtilizationPercentage": 70,
        },
    }


def test_an_autoscaler_in_both_versions(http: Raw, kubectl: Kubectl, namespace: str) -> None:
    v1, v2 = (f"/apis/autoscaling/{v}/namespaces/{namespace}/horizontalpodautoscalers" for v in ("v1", "v2"))
    made = http.send("POST", v1, autoscaler(namespace))
    assert made.status_code == 201, made.text
    assert (made.json()["apiVersion"], made.json()["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 70)
    newer = http.get(f"{v2}/web").json()
    assert newer["apiVersion"] == "autoscaling/v2"
    assert newer["metadata"]["resourceVersion"] == made.json()["metadata"]["resourceVersion"]
    assert newer["spec"]["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    ]
    newer["spec"]["maxReplicas"] = 7
    assert http.send("PUT", f"{v2}/web", newer).json()["spec"]["maxReplicas"] == 7
    patch = http.send("PATCH", f"{v1}/web", {"spec": {"minReplicas": 3}}, content_type="application/merge-patch+json")
    assert (patch.json()["apiVersion"], patch.json()["spec"]["minReplicas"]) == ("autoscaling/v1", 3)
    listed = http.get(f"{v1}?limit=1").json()
    assert (listed["apiVersion"], listed["kind"]) == ("autoscaling/v1", "HorizontalPodAutoscalerList")
    assert [(i["apiVersion"], i["spec"]["maxReplicas"]) for i in listed["items"]] == [("autoscaling/v1", 7)]
    stale = {**newer, "spec": {**newer["spec"], "maxReplicas": 9}}
    assert http.send("PUT", f"{v2}/web", stale).json()["reason"] == "Conflict"
    assert (
        kubectl.run("get", "horizontalpodautoscalers.v1.autoscaling", "web", "-o", "jsonpath={.apiVersion}").ok().stdout
        == "autoscaling/v1"
    )
    with http.lines(f"{v1}?watch=1&timeoutSeconds=5&resourceVersion={newer['metadata']['resourceVersion']}") as lines:
        first = json.loads(next(lines))
        assert http.send("DELETE", f"{v2}/web").status_code == 200
        rest = [json.loads(next(lines)) for _ in range(2)]
    assert [e["type"] for e in (first, *rest)] == ["MODIFIED", "MODIFIED", "DELETED"]
    assert {e["object"]["apiVersion"] for e in (first, *rest)} == {"autoscaling/v1"}
    assert [e["object"]["spec"]["minReplicas"] for e in (first, *rest)] == [2, 3, 3]


def test_events_of_both_groups(http: Raw, core: CoreV1Api, namespace: str) -> None:
    """regarding and note of the one are involvedObject and message of the other, in selectors too."""
    core.create_namespaced_event(
        namespace,
        {
            "metadata": {"name": "it.1"},
            "involvedObject": {"kind": "Pod", "name": "it", "namespace": namespace, "apiVersion": "v1"},
            "reason": "Killing", "message": "stopping it", "type": "Normal", "count": 2,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z",
            "source": {"component": "kubelet"},
        },
    )  # fmt: skip
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    (found,) = http.get(f"{path}?fieldSelector=regarding.name=it").json()["items"]
    assert (found["apiVersion"], found["note"], found["regarding"]["name"]) == ("events.k8s.io/v1", "stopping it", "it")
    assert found["deprecatedCount"] == 2
    assert http.get(f"{path}?fieldSelector=regarding.name=other").json()["items"] == []
    table = http.get(path, accept="application/json;as=Table;g=meta.k8s.io;v=v1").json()
    assert [column["name"] for column in table["columnDefinitions"]][:2] == ["Last Seen", "Type"]
    assert len(table["rows"]) == 1
