"""What objects use of a quota: https://kubernetes.io/docs/concepts/policy/resource-quotas/"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import meta, pod_resources, quantities, quota
from api.meta import Obj

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def container(name: str = "c", limits: Obj | None = None, **requests: str) -> Obj:
    return {"name": name, "resources": {"requests": requests, "limits": limits or {}}}


def pod(*containers: Obj, metadata: Obj | None = None, status: Obj | None = None, **spec: Any) -> Obj:
    spec = {"containers": list(containers) or [container()], **spec}
    return {"metadata": {"name": "p", **(metadata or {})}, "spec": spec, "status": status or {}}


def used(plural: str, obj: Obj, group: str = "", now: datetime = NOW) -> Obj:
    measure = quota.measure(group, plural)
    assert measure is not None
    return {name: amount for name, amount in measure.usage(obj, now).items() if amount != "0"}


@pytest.mark.parametrize(
    ("one", "other", "total", "rest"),
    [
        ("1", "500m", "1500m", "500m"),
        ("0", "128Mi", "128Mi", "0"),
        ("1Gi", "1G", "2073741824", "73741824"),
        ("1G", "1Gi", "2073741824", "0"),
        ("1e3", "1k", "2e3", "0"),
        ("512", "512Mi", "536871424", "0"),
        ("9223372036854775807", "1", "9223372036854775808", "9223372036854775806"),
    ],
)
def test_quantities_add_up_in_the_notation_of_the_first(one: str, other: str, total: str, rest: str) -> None:
    """k8s.io/apimachinery/pkg/api/resource: Add, Sub."""
    assert (quantities.add(one, other), quantities.subtract(one, other)) == (total, rest)


def test_a_pod_uses_what_its_containers_request() -> None:
    two = pod(container("a", {"cpu": "2"}, cpu="1", memory="1Gi"), container("b", cpu="500m"))
    assert used("pods", two) == {
        "count/pods": "1", "pods": "1", "cpu": "1500m", "requests.cpu": "1500m", "memory": "1Gi",
        "requests.memory": "1Gi", "limits.cpu": "2",
    }  # fmt: skip


def test_extended_resources_and_huge_pages_count_as_requests() -> None:
    one = pod(container(**{"nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi"}))
    assert used("pods", one) == {
        "count/pods": "1", "pods": "1", "requests.nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi",
        "requests.hugepages-2Mi": "4Mi", "ephemeral-storage": "1Gi", "requests.ephemeral-storage": "1Gi",
    }  # fmt: skip


def test_init_containers_run_before_and_sidecars_beside() -> None:
    """https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers"""
    sidecar = {**container("s", cpu="100m"), "restartPolicy": "Always"}
    many = pod(container(cpu="1"), initContainers=[container("i", cpu="2"), sidecar, container("j", cpu="1500m")])
    assert pod_resources.requests(many) == {"cpu": "2"}
    assert pod_resources.requests(pod(container(cpu="2"), initContainers=[sidecar])) == {"cpu": "2100m"}


def test_resources_of_the_pod_win_and_overhead_comes_on_top() -> None:
    """https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/ ,
    https://kubernetes.io/docs/concepts/scheduling-eviction/pod-overhead/"""
    own = pod(container(cpu="1"), resources={"requests": {"cpu": "3"}}, overhead={"cpu": "250m", "memory": "1Mi"})
    assert pod_resources.requests(own) == {"cpu": "3250m", "memory": "1Mi"}
    assert pod_resources.limits(pod(container("c", {"cpu": "1"}), overhead={"cpu": "250m", "memory": "1Mi"})) == {
        "cpu": "1250m"
    }


def test_a_pod_that_is_resized_uses_the_larger_of_what_it_has_and_wants() -> None:
    """KEP-1287"""
    running = {"name": "c", "resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "2"}}
    assert pod_resources.requests(pod(container(cpu="1"), status={"containerStatuses": [running]})) == {"cpu": "3"}
    refused = {
        "containerStatuses": [running],
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
    }
    assert pod_resources.requests(pod(container(cpu="9"), status=refused)) == {"cpu": "3"}


def test_a_pod_that_has_ended_is_an_object_only() -> None:
    """ "pods: the total number of Pods in a non-terminal state"; count/pods counts all."""
    for phase in ("Succeeded", "Failed"):
        assert used("pods", pod(container(cpu="1"), status={"phase": phase})) == {"count/pods": "1"}
    going = pod(metadata={"deletionTimestamp": meta.rfc3339(NOW), "deletionGracePeriodSeconds": 30})
    assert "pods" in used("pods", going, now=NOW + timedelta(seconds=30))
    assert used("pods", going, now=NOW + timedelta(seconds=31)) == {"count/pods": "1"}


def test_where_cpu_is_limited_each_container_says_how_much() -> None:
    measure = quota.measure("", "pods")
    assert measure is not None
    some = pod(container("b"), container("a", cpu="1"), initContainers=[container("z", {"cpu": "1"})])
    names = ("pods", "requests.cpu", "limits.cpu", "requests.ephemeral-storage")
    assert measure.missing(some, names) == "must specify limits.cpu for: a,b; requests.cpu for: b,z"
    assert measure.missing(some, ("pods",)) == ""
    assert measure.missing({**some, "spec": {**some["spec"], "resources": {"limits": {"cpu": "1"}}}}, names) == ""


AFFINITY = {
    "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"namespaces": ["x"]}}]}
}
BURST = container(cpu="1")


@pytest.mark.parametrize(
    ("scope", "obj", "inside"),
    [
        ("Terminating", pod(activeDeadlineSeconds=5), True),
        ("Terminating", pod(), False),
        ("NotTerminating", pod(), True),
        ("BestEffort", pod(), True),
        ("BestEffort", pod(BURST), False),
        ("BestEffort", pod(resources={"limits": {"cpu": "1"}}), False),
        ("NotBestEffort", pod(BURST), True),
        ("CrossNamespacePodAffinity", pod(affinity=AFFINITY), True),
        ("CrossNamespacePodAffinity", pod(affinity={"podAntiAffinity": {}}), False),
        ("PriorityClass", pod(priorityClassName="high"), True),
        ("PriorityClass", pod(), False),
        ("VolumeAttributesClass", pod(), False),
    ],
)
def test_scopes_of_pods(scope: str, obj: Obj, inside: bool) -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-scopes"""
    measure = quota.measure("", "pods")
    assert measure is not None
    assert measure.counts({"scopes": [scope]}, obj) is inside
    selector = {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]}
    assert measure.counts({"scopeSelector": selector}, obj) is inside


@pytest.mark.parametrize(
    ("operator", "values", "of_high", "of_none"),
    [
        ("In", ["high", "low"], True, False), ("In", ["low"], False, False), ("NotIn", ["high"], False, True),
        ("NotIn", ["low"], True, True), ("Exists", None, True, False), ("DoesNotExist", None, False, True),
    ],
)  # fmt: skip
def test_classes_are_selected(operator: str, values: list[str] | None, of_high: bool, of_none: bool) -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#resource-quota-per-priorityclass"""
    for plural, kind, field in (
        ("pods", "PriorityClass", "priorityClassName"),
        ("persistentvolumeclaims", "VolumeAttributesClass", "volumeAttributesClassName"),
    ):
        measure = quota.measure("", plural)
        assert measure is not None
        expression = {"scopeName": kind, "operator": operator, **({"values": values} if values else {})}
        spec = {"scopeSelector": {"matchExpressions": [expression]}}
        assert measure.counts(spec, {"metadata": {}, "spec": {field: "high"}}) is of_high
        assert measure.counts(spec, {"metadata": {}, "spec": {}}) is of_none


def test_services_use_node_ports_and_load_balancers() -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#object-count-quota"""
    ports = [{"port": 1, "nodePort": 30001}, {"port": 2}]
    plain = {"count/services": "1", "services": "1"}
    assert used("services", {"spec": {"type": "ClusterIP", "ports": ports}}) == plain
    assert used("services", {"spec": {"type": "NodePort", "ports": ports}}) == {**plain, "services.nodeports": "2"}
    balanced = {"type": "LoadBalancer", "ports": ports}
    both = {**plain, "services.loadbalancers": "1", "services.nodeports": "2"}
    assert used("services", {"spec": balanced}) == both
    without = {**balanced, "allocateLoadBalancerNodePorts": False}
    assert used("services", {"spec": without}) == {**both, "services.nodeports": "1"}


def test_claims_use_storage_in_all_and_of_their_class() -> None:
    """https://kubernetes.io/docs/concepts/policy/resource-quotas/#storage-resource-quota"""
    claim: Obj = {"metadata": {}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    all_of_it = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "1Gi"}
    assert used("persistentvolumeclaims", claim) == all_of_it
    claim["spec"]["storageClassName"] = "gold"
    gold = "gold.storageclass.storage.k8s.io/"
    by_class = {**all_of_it, f"{gold}persistentvolumeclaims": "1", f"{gold}requests.storage": "1Gi"}
    assert used("persistentvolumeclaims", claim) == by_class
    claim["status"] = {"allocatedResources": {"storage": "2Gi"}}  # it was asked for, and then less was
    assert used("persistentvolumeclaims", claim)["requests.storage"] == "2Gi"
    claim["spec"]["resources"]["requests"]["storage"], claim["status"] = "1500m", {}
    assert used("persistentvolumeclaims", claim)["requests.storage"] == "2"


def test_every_kind_is_counted_but_events() -> None:
    assert used("configmaps", {}) == {"count/configmaps": "1", "configmaps": "1"}
    assert used("widgets", {}, "example.com") == {"count/widgets.example.com": "1"}
    assert used("deployments", {}, "apps") == {"count/deployments.apps": "1"}
    assert quota.measure("", "events") is None
    assert quota.measure("events.k8s.io", "events") is None


@pytest.mark.parametrize(
    ("plural", "tracked"),
    [
        ("pods", {"pods", "requests.cpu", "hugepages-2Mi", "requests.nvidia.com/gpu", "count/pods"}),
        ("persistentvolumeclaims", {"requests.storage", "gold.storageclass.storage.k8s.io/requests.storage"}),
        ("services", {"services.nodeports"}),
        ("secrets", {"secrets", "count/secrets"}),
    ],
)
def test_names_belong_to_kinds(plural: str, tracked: set[str]) -> None:
    names = {
        "pods", "count/pods", "requests.cpu", "hugepages-2Mi", "requests.nvidia.com/gpu", "requests.storage",
        "gold.storageclass.storage.k8s.io/requests.storage", "services.nodeports", "secrets", "count/secrets",
        "count/jobs.batch", "requests.kubernetes.io/x",
    }  # fmt: skip
    measure = quota.measure("", plural)
    assert measure is not None
    assert {name for name in names if measure.tracks(name)} == tracked


def test_growth_is_never_negative() -> None:
    assert quota.growth({"a": "1", "b": "3"}, {"a": "2", "b": "1"}) == {"a": "0", "b": "2"}
    assert quota.growth({"a": "1"}, {}) == {"a": "1"}
