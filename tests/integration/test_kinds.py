"""Every kind of the core, apps, batch, autoscaling, policy and events groups: created, shown and changed by the
upstream kubectl. Columns: k8s.io/kubernetes/pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from api.builtin import AUTOSCALERS, EVENTS, NEW_EVENTS, PODS, REPLICATION_CONTROLLERS
from api.errors import Invalid
from client.http import ApiClient
from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod

Obj = dict[str, Any]
_POD = {"containers": [{"name": "main", "image": "busybox:1"}]}
_TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": _POD}
_SELECTOR = {"matchLabels": {"app": "a"}}
_JOB_POD = {"spec": {**_POD, "restartPolicy": "Never"}}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}


def _make(api_version: str, kind: str, **rest: Any) -> Obj:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **rest}


# (object, the headings of `get -o wide`, the cells beside name and age, a strategic or merge patch that is allowed)
_KINDS = [
    (_make("apps/v1", "DaemonSet", spec={"selector": _SELECTOR, "template": _TEMPLATE}),
     "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE_SELECTOR AGE CONTAINERS IMAGES SELECTOR",
     ["0", "0", "0", "0", "0", "<none>", "main", "busybox:1", "app=a"], {"spec": {"minReadySeconds": 1}}),
    (_make("apps/v1", "StatefulSet", spec={"serviceName": "s", "selector": _SELECTOR, "template": _TEMPLATE}),
     "NAME READY AGE CONTAINERS IMAGES", ["0/1", "main", "busybox:1"], {"spec": {"replicas": 2}}),
    (_make("apps/v1", "ReplicaSet", spec={"selector": _SELECTOR, "template": _TEMPLATE}),
     "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
     ["1", "0", "0", "main", "busybox:1", "app=a"], {"spec": {"replicas": 0}}),
    (_make("apps/v1", "ControllerRevision", revision=3, data={"a": 1}),
     "NAME CONTROLLER REVISION AGE", ["<none>", "3"], {"revision": 4}),
    (_make("v1", "ReplicationController", spec={"replicas": 2, "template": _TEMPLATE}),
     "NAME DESIRED CURRENT READY AGE CONTAINERS IMAGES SELECTOR",
     ["2", "0", "0", "main", "busybox:1", "app=a"], {"spec": {"replicas": 1}}),
    (_make("v1", "PodTemplate", template=_TEMPLATE),
     "NAME CONTAINERS IMAGES POD_LABELS", ["main", "busybox:1", "app=a"], {"metadata": {"labels": {"a": "b"}}}),
    (_make("v1", "LimitRange", spec={"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}}]}),
     "NAME CREATED_AT", [], {"metadata": {"labels": {"a": "b"}}}),
    (_make("v1", "ResourceQuota", spec={"hard": {"pods": "4", "limits.cpu": "2"}}),
     "NAME REQUEST LIMIT AGE", [], {"spec": {"hard": {"pods": "5"}}}),
    (_make("v1", "PersistentVolumeClaim", spec=_CLAIM),
     "NAME STATUS VOLUME CAPACITY ACCESS_MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE VOLUMEMODE",
     ["Pending", "<unset>", "Filesystem"], {"metadata": {"labels": {"a": "b"}}}),
    (_make("batch/v1", "Job", spec={"completions": 3, "template": _JOB_POD}),
     "NAME STATUS COMPLETIONS DURATION AGE CONTAINERS IMAGES SELECTOR",
     ["Running", "0/3", "main", "busybox:1", "batch.kubernetes.io/controller-uid=UID"], {"spec": {"parallelism": 2}}),
    (_make("batch/v1", "CronJob", spec={"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template": _JOB_POD}}}),
     "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST_SCHEDULE AGE CONTAINERS IMAGES SELECTOR",
     ["*/5 * * * *", "<none>", "False", "0", "<none>", "main", "busybox:1", "<none>"], {"spec": {"suspend": True}}),
    (_make("autoscaling/v2", "HorizontalPodAutoscaler",
           spec={"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}),
     "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE",
     ["Deployment/d", "cpu: <unknown>/80%", "1", "5", "0"], {"spec": {"maxReplicas": 7}}),
    (_make("policy/v1", "PodDisruptionBudget", spec={"minAvailable": "50%", "selector": _SELECTOR}),
     "NAME MIN_AVAILABLE MAX_UNAVAILABLE ALLOWED_DISRUPTIONS AGE", ["50%", "N/A", "0"],
     {"spec": {"minAvailable": 1}}),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "headings", "cells", "patch"), _KINDS, ids=[o["kind"] for o, *_ in _KINDS])
def test_a_kind_is_created_shown_and_changed(
    kubectl: Kubectl, obj: Obj, headings: str, cells: list[str], patch: Obj
) -> None:
    kind = obj["kind"].lower()
    kubectl.run("create", "-f", "-", stdin=obj).ok()
    made = kubectl.run("get", kind, "x", "-o", "json").ok().json
    heading, row = kubectl.run("get", kind, "x", "-o", "wide").ok().lines
    assert [h.replace(" ", "_") for h in re.split(r" {2,}", heading.strip())] == headings.split()
    shown = re.split(r" {2,}", row.strip())
    for cell in cells:
        assert cell.replace("UID", made["metadata"]["uid"]) in shown
    narrow = [h for h in headings.split() if h not in ("CONTAINERS", "IMAGES", "SELECTOR", "VOLUMEMODE")]
    assert len(re.split(r" {2,}", kubectl.run("get", kind).ok().lines[0].strip())) == len(narrow) + (
        2 if kind == "podtemplate" else 0
    )
    kubectl.run("patch", kind, "x", "--type=merge", "-p", _text(patch)).ok()
    after = kubectl.run("get", kind, "x", "-o", "json").ok().json
    if "generation" in made["metadata"] and "spec" in patch:
        assert after["metadata"]["generation"] == 2
    kubectl.run("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=obj).ok()
    kubectl.run("delete", kind, "x", "--wait=false").ok()  # a claim is held until a controller lets it go


def _text(patch: Obj) -> str:
    import json  # noqa: PLC0415

    return json.dumps(patch)


def test_persistent_volumes_are_shown_as_upstream_does(kubectl: Kubectl, namespace: str) -> None:
    volume = _make("v1", "PersistentVolume", spec={
        "capacity": {"storage": "2048Mi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
        "hostPath": {"path": "/data"}, "storageClassName": "slow",
    })  # fmt: skip
    volume["metadata"]["name"] = name = f"pv-{namespace}"[:50].rstrip("-")
    kubectl.run("create", "-f", "-", stdin=volume).ok()
    try:
        row = re.split(r" {2,}", kubectl.run("get", "pv", name, "--no-headers").ok().stdout.strip())
        assert row[:5] == [name, "2Gi", "RWO,ROX", "Retain", "Pending"]
        assert row[5:7] == ["slow", "<unset>"]
        refused = kubectl.run("patch", "pv", name, "-p", '{"spec":{"hostPath":{"path":"/other"}}}').failed()
        assert (
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after" in refused.stderr
        )
    finally:
        kubectl.run("patch", "pv", name, "-p", '{"metadata":{"finalizers":null}}').ok()
        kubectl.run("delete", "pv", name).ok()


async def test_an_autoscaler_is_served_in_both_versions(ours: ApiClient, kubectl: Kubectl, namespace: str) -> None:
    """autoscaling/v1 has one target; kubectl autoscale sends it, and v2 keeps it as a metric."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    spec = {"maxReplicas": 3, "targetCPUUtilizationPercentage": 70, "scaleTargetRef": target}
    old = _make("autoscaling/v1", "HorizontalPodAutoscaler", spec=spec)
    kubectl.run("create", "-f", "-", stdin=old).ok()
    new = await ours.get(AUTOSCALERS, "x", namespace)
    assert new["spec"]["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
    ]
    shown = kubectl.run("get", "horizontalpodautoscalers.v1.autoscaling", "x", "-o", "json").ok().json
    assert (shown["apiVersion"], shown["spec"]["targetCPUUtilizationPercentage"]) == ("autoscaling/v1", 70)


async def test_an_event_is_served_in_both_groups(ours: ApiClient, namespace: str) -> None:
    made = await ours.create(NEW_EVENTS, {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": namespace},
        "eventTime": "2026-01-02T03:04:05.000000Z", "type": "Normal", "reason": "Tested", "action": "Testing",
        "note": "all is well", "reportingController": "example.com/tester", "reportingInstance": "t-1",
        "regarding": {"kind": "Pod", "name": "p", "namespace": namespace},
    })  # fmt: skip
    assert made["note"] == "all is well"
    core = await ours.get(EVENTS, "e", namespace)
    assert (core["message"], core["involvedObject"]["name"], core["reportingComponent"]) == (
        "all is well", "p", "example.com/tester",
    )  # fmt: skip
    with pytest.raises(Invalid, match=r"eventTime: Required value"):
        await ours.create(NEW_EVENTS, {"metadata": {"name": "f", "namespace": namespace}, "type": "Normal",
                                       "regarding": {"namespace": namespace}})  # fmt: skip
    for resource, selector in ((NEW_EVENTS, "regarding.name=p"), (EVENTS, "source=example.com/tester")):
        found = await ours.request("GET", resource.path(namespace), params={"fieldSelector": selector})
        assert [item["metadata"]["name"] for item in found.json()["items"]] == ["e"]


async def test_a_replication_controller_scales(ours: ApiClient, kubectl: Kubectl, namespace: str) -> None:
    kubectl.run("create", "-f", "-", stdin=_make("v1", "ReplicationController", spec={"template": _TEMPLATE})).ok()
    kubectl.run("scale", "rc/x", "--replicas=4").ok()
    scale = await ours.get(REPLICATION_CONTROLLERS, "x", namespace, subresource="scale")
    assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (4, "app=a")


async def test_an_ephemeral_container_is_added_through_its_own_door(
    ours: ApiClient, kubectl: Kubectl, namespace: str
) -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/"""
    kubectl.run("create", "-f", "-", stdin=pod("p")).ok()
    kubectl.run("debug", "p", "--image=busybox:2", "-c", "look", "--profile=general", "--", "sleep", "1").ok()
    found = await ours.get(PODS, "p", namespace)
    assert [c["name"] for c in found["spec"]["ephemeralContainers"]] == ["look"]
    assert found["metadata"]["generation"] == 2
    path = PODS.path(namespace, "p", "ephemeralcontainers")
    with pytest.raises(Invalid, match='existing ephemeral containers "look" may not be changed'):
        changed = {"spec": {"ephemeralContainers": [{"name": "look", "image": "busybox:3"}]}}
        await ours.request(
            "PATCH", path, json=changed, headers={"Content-Type": "application/strategic-merge-patch+json"}
        )
    with pytest.raises(
        Invalid, match=r"spec.ephemeralContainers\[1\].ports: Forbidden: cannot be set for an Ephemeral"
    ):
        bad = [{"op": "add", "path": "/spec/ephemeralContainers/-",
                "value": {"name": "b", "image": "b", "ports": [{"containerPort": 1}]}}]  # fmt: skip
        await ours.request("PATCH", path, json=bad, headers={"Content-Type": "application/json-patch+json"})


async def test_a_pod_is_resized_through_its_own_door(ours: ApiClient, kubectl: Kubectl, namespace: str) -> None:
    """KEP-1287; https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/"""
    body = pod("p")
    body["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    kubectl.run("create", "-f", "-", stdin=body).ok()

    def resize(resources: Obj) -> Any:
        patch = {"spec": {"containers": [{"name": "main", "resources": resources}]}}
        return kubectl.run("patch", "pod", "p", "--subresource=resize", "-p", _text(patch))

    resize({"requests": {"cpu": "0.25"}}).ok()
    found = await ours.get(PODS, "p", namespace)
    assert found["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "250m"}}
    assert (
        "only cpu and memory resources are mutable"
        in resize({"requests": {"ephemeral-storage": "1Gi"}}).failed().stderr
    )
    plain = kubectl.run("patch", "pod", "p", "-p", '{"spec":{"containers":[{"name":"main","command":["x"]}]}}').failed()
    assert "pod updates may not change fields other than" in plain.stderr
    assert (
        "Pod QOS Class may not change as a result of resizing"
        in resize({"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "1Mi"}}).failed().stderr
    )
