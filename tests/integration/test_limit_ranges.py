"""Limit ranges at the door, with the documentation's manifests and upstream's kubectl."""

from __future__ import annotations

import json

from api.meta import Obj
from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.integration.manifests import pod

CPU = """
apiVersion: v1
kind: LimitRange
metadata: {name: cpu-resource-constraint}
spec:
  limits:
  - {default: {cpu: 500m}, defaultRequest: {cpu: 500m}, max: {cpu: "1"}, min: {cpu: 100m}, type: Container}
"""
CONFLICT = """
apiVersion: v1
kind: Pod
metadata: {name: example-conflict-with-limitrange-cpu}
spec:
  containers:
  - {name: demo, image: registry.k8s.io/pause:3.8, resources: {requests: {cpu: 700m}LIMITS}}
"""


def test_the_concept_page(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/concepts/policy/limit-range/#limitrange-and-admission-checks-for-pods"""
    kubectl.run("apply", "-f", "-", stdin=CPU).ok()
    eventually_sync(lambda: kubectl.run("get", "limitrange", "cpu-resource-constraint").code == 0, "it is there")
    refused = kubectl.run("create", "-f", "-", stdin=CONFLICT.replace("LIMITS", "")).failed().stderr
    assert (
        'Pod "example-conflict-with-limitrange-cpu" is invalid: spec.containers[0].resources.requests: '
        'Invalid value: "700m": must be less than or equal to cpu limit of 500m' in refused
    )
    kubectl.run("create", "-f", "-", stdin=CONFLICT.replace("LIMITS", ", limits: {cpu: 700m}")).ok()
    kubectl.run("create", "-f", "-", stdin=json.dumps(pod("plain"))).ok()
    made = json.loads(kubectl.run("get", "pod", "plain", "-o", "json").ok().stdout)
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}
    assert made["status"]["qosClass"] == "Burstable"
    two = CONFLICT.replace("LIMITS", ", limits: {cpu: 2}")
    refused = kubectl.run("create", "-f", "-", stdin=two).failed().stderr
    assert (
        'pods "example-conflict-with-limitrange-cpu" is forbidden: maximum cpu usage per Container is 1, '
        "but limit is 2" in refused
    )
    kubectl.run("delete", "limitrange", "cpu-resource-constraint").ok()
    kubectl.run("delete", "pod", "--all", "--force").ok()
    kubectl.run("create", "-f", "-", stdin=two).ok()


EVERYTHING = """
apiVersion: v1
kind: LimitRange
metadata: {name: everything}
spec:
  limits:
  - {default: {cpu: 500m}, max: {cpu: "1"}, maxLimitRequestRatio: {cpu: "2"}, type: Container}
  - {max: {cpu: "1"}, min: {cpu: 100m}, type: Pod}
  - {max: {storage: 1Gi}, type: PersistentVolumeClaim}
"""
MALFORMED: list[tuple[str, Obj]] = [
    ("pods", {}),
    ("pods", {"spec": None}),
    ("pods", {"spec": {"containers": [{}]}}),
    ("pods", {"spec": {"containers": [None]}}),
    ("pods", {"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": None}}}]}}),
    ("pods", {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "many"}}}]}}),
    ("pods", {"spec": {"containers": [{"volumeMounts": [{}]}], "volumes": [{}], "imagePullSecrets": [{}]}}),
    ("pods", {"spec": {"containers": [{"name": "a"}], "serviceAccountName": "Not A Name/.."}}),
    ("persistentvolumeclaims", {}),
    ("persistentvolumeclaims", {"spec": {"resources": {"requests": {"storage": "much"}}}}),
    ("persistentvolumeclaims", {"spec": {"resources": {"requests": None}}, "metadata": {"finalizers": [None]}}),
]


def test_what_is_malformed_is_told_so(kubectl: Kubectl, http: Raw) -> None:
    """Steps that change an object see it before it is validated."""
    kubectl.run("apply", "-f", "-", stdin=EVERYTHING).ok()
    for plural, body in MALFORMED:
        obj: Obj = {**body, "metadata": {"name": "x", **body.get("metadata", {})}}
        answer = http.send("POST", f"/api/v1/namespaces/{kubectl.namespace}/{plural}", obj)
        assert answer.status_code in (400, 403, 422), (body, answer.text)
