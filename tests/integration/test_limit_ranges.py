"""Limit ranges at the door, with the documentation's manifests and upstream's kubectl."""

from __future__ import annotations

import json

from tests.harness.eventually import eventually_sync
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
