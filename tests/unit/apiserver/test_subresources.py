"""Binding, scale and the choice of a container: the arithmetic behind the routes."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import DEPLOYMENTS
from api.errors import BadRequest, Conflict, Invalid
from api.meta import Obj
from apiserver.kubelet import address_of
from apiserver.routes.binding import bound
from apiserver.routes.pod import container_of
from apiserver.routes.scale import scale_of, scaled

STAMP = "2026-01-02T03:04:05Z"


def pod(*containers: str, init: tuple[str, ...] = (), annotations: dict[str, str] | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": "web", "namespace": "a", "annotations": annotations or {}},
        "spec": {
            "containers": [{"name": name} for name in containers],
            "initContainers": [{"name": name} for name in init],
            **spec,
        },
    }


BINDING = {"metadata": {"name": "web", "annotations": {"k": "v"}}, "target": {"kind": "Node", "name": "n1"}}


def test_binding_gives_a_node_and_says_so_in_a_condition() -> None:
    result = bound(pod("c"), BINDING, STAMP)
    assert result["spec"]["nodeName"] == "n1"
    assert result["metadata"]["annotations"] == {"k": "v"}
    assert result["status"]["conditions"] == [{"type": "PodScheduled", "status": "True", "lastTransitionTime": STAMP}]


def test_binding_replaces_the_condition_that_told_of_failure() -> None:
    waiting = pod("c")
    waiting["status"] = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    assert [c["status"] for c in bound(waiting, BINDING, STAMP)["status"]["conditions"]] == ["True"]


@pytest.mark.parametrize(
    ("spec", "deleting", "text"),
    [
        ({"nodeName": "n2"}, False, 'pod web is already assigned to node "n2"'),
        ({}, True, "pod web is being deleted, cannot be assigned to a host"),
        ({"schedulingGates": [{"name": "x"}]}, False, "pod web has non-empty .spec.schedulingGates"),
    ],
)
def test_a_pod_is_bound_once(spec: Obj, deleting: bool, text: str) -> None:
    waiting = pod("c", **spec)
    if deleting:
        waiting["metadata"]["deletionTimestamp"] = STAMP
    with pytest.raises(Conflict) as caught:
        bound(waiting, BINDING, STAMP)
    assert caught.value.message == f'Operation cannot be fulfilled on pods/binding "web": {text}'


def test_a_scale_shows_replicas_and_selector() -> None:
    obj = {
        "metadata": {"name": "d", "namespace": "a", "uid": "u", "resourceVersion": "7", "labels": {"x": "y"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"b": "2", "a": "1"}}},
        "status": {"replicas": 2},
    }
    scale = scale_of(DEPLOYMENTS, obj)
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "a=1,b=2"}
    assert "labels" not in scale["metadata"]
    scale["spec"]["replicas"] = 5
    assert scaled(DEPLOYMENTS, obj, scale)["spec"]["replicas"] == 5


def test_there_are_no_negative_replicas() -> None:
    with pytest.raises(Invalid, match=r"spec.replicas: Invalid value: -1: must be greater than or equal to 0"):
        scaled(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": {}}, {"metadata": {}, "spec": {"replicas": -1}})


@pytest.mark.parametrize(
    ("obj", "asked", "found"),
    [
        (pod("a"), "", "a"),
        (pod("a", "b"), "b", "b"),
        (pod("a", init=("i",)), "i", "i"),
    ],
)
def test_the_container_that_is_meant(obj: Obj, asked: str, found: str) -> None:
    assert container_of(obj, asked) == found


@pytest.mark.parametrize(
    ("obj", "asked", "text"),
    [
        (pod("a", "b"), "", "a container name must be specified for pod web, choose one of: [a b]"),
        (pod("a", "b", init=("i",)), "",
         "a container name must be specified for pod web, choose one of: [i a b]"),
        (pod("a"), "x", "container x is not valid for pod web"),
    ],
)  # fmt: skip
def test_a_container_that_is_not_there_or_not_clear(obj: Obj, asked: str, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        container_of(obj, asked)
    assert caught.value.message == text


def test_a_kubelet_is_found_by_the_nodes_own_word() -> None:
    status = {
        "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "10.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
    }
    address = address_of({"metadata": {"name": "n1"}, "status": status})
    assert address.url("https", "/containerLogs/a/b c/d", [("tailLines", "3")]) == (
        "https://10.0.0.1:10251/containerLogs/a/b%20c/d?tailLines=3"
    )
