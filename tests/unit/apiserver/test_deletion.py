"""What a DELETE does, case by case (k8s.io/apiserver/pkg/registry/rest/delete.go and the pod strategy)."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from api.builtin import CONFIG_MAPS, NAMESPACES, PODS
from api.errors import BadRequest, Conflict, Invalid
from api.meta import Obj
from apiserver.deletion import (
    DeleteOptions,
    Mark,
    Pending,
    Remove,
    check_preconditions,
    decide,
    is_over,
    options_of,
)  # fmt: skip

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def pod(*, node: str = "n1", phase: str = "Running", **metadata: Any) -> Obj:
    return {
        "kind": "Pod",
        "metadata": {"name": "p", "uid": "u", "resourceVersion": "7", **metadata},
        "spec": {"terminationGracePeriodSeconds": 30, **({"nodeName": node} if node else {})},
        "status": {"phase": phase},
    }


def marked(obj: Obj, options: DeleteOptions) -> Obj:
    before = copy.deepcopy(obj)
    decision = decide(PODS, obj, options, NOW)
    assert obj == before
    assert isinstance(decision, Mark)
    metadata: Obj = decision.obj["metadata"]
    return metadata


def test_a_running_pod_waits_for_its_kubelet() -> None:
    metadata = marked(pod(generation=1), DeleteOptions())
    assert metadata["deletionTimestamp"] == "2026-01-02T03:04:35Z"
    assert metadata["deletionGracePeriodSeconds"] == 30
    assert metadata["generation"] == 2


def test_a_pod_waits_as_long_as_asked() -> None:
    assert marked(pod(), DeleteOptions(grace=5))["deletionTimestamp"] == "2026-01-02T03:04:10Z"
    assert marked(pod(), DeleteOptions(grace=-3))["deletionGracePeriodSeconds"] == 1


@pytest.mark.parametrize(
    "obj", [pod(node=""), pod(phase="Succeeded"), pod(phase="Failed")], ids=["unscheduled", "succeeded", "failed"]
)
def test_a_pod_that_no_kubelet_runs_goes_at_once(obj: Obj) -> None:
    assert decide(PODS, obj, DeleteOptions(grace=30), NOW) == Remove()


def test_force_removes_at_once() -> None:
    assert decide(PODS, pod(), DeleteOptions(grace=0), NOW) == Remove()


def deleting(grace: int, **more: Any) -> Obj:
    return pod(deletionTimestamp="2026-01-02T03:04:35Z", deletionGracePeriodSeconds=grace, **more)


def test_a_grace_under_way_only_gets_shorter() -> None:
    assert decide(PODS, deleting(30), DeleteOptions(), NOW) == Pending()
    assert decide(PODS, deleting(30), DeleteOptions(grace=60), NOW) == Pending()
    metadata = marked(deleting(30), DeleteOptions(grace=10))
    assert metadata["deletionTimestamp"] == "2026-01-02T03:04:15Z"
    assert metadata["deletionGracePeriodSeconds"] == 10


def test_the_kubelet_confirms_with_grace_zero() -> None:
    assert decide(PODS, deleting(30), DeleteOptions(grace=0), NOW) == Remove()
    kept = marked(deleting(30, finalizers=["a/b"]), DeleteOptions(grace=0))
    assert kept["deletionGracePeriodSeconds"] == 0
    assert decide(PODS, deleting(0, finalizers=["a/b"]), DeleteOptions(grace=0), NOW) == Pending()


def config_map(**metadata: Any) -> Obj:
    return {"kind": "ConfigMap", "metadata": {"name": "c", **metadata}}


def test_an_object_without_finalizers_goes_at_once() -> None:
    assert decide(CONFIG_MAPS, config_map(), DeleteOptions(), NOW) == Remove()


def test_finalizers_hold_an_object() -> None:
    decision = decide(CONFIG_MAPS, config_map(finalizers=["a/b"]), DeleteOptions(), NOW)
    assert isinstance(decision, Mark)
    assert decision.obj["metadata"]["deletionTimestamp"] == "2026-01-02T03:04:05Z"
    assert decide(CONFIG_MAPS, decision.obj, DeleteOptions(), NOW) == Pending()


@pytest.mark.parametrize(("policy", "finalizers"), [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"])])
def test_propagation_leaves_work_to_the_garbage_collector(policy: str, finalizers: list[str]) -> None:
    decision = decide(CONFIG_MAPS, config_map(), DeleteOptions(policy=policy), NOW)
    assert isinstance(decision, Mark)
    assert decision.obj["metadata"]["finalizers"] == finalizers


def test_background_takes_the_collectors_finalizers_back() -> None:
    obj = config_map(finalizers=["orphan"])
    assert decide(CONFIG_MAPS, obj, DeleteOptions(policy="Background"), NOW) == Remove()


def test_a_namespace_waits_for_its_contents() -> None:
    obj = {"kind": "Namespace", "metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}}
    decision = decide(NAMESPACES, obj, DeleteOptions(), NOW)
    assert isinstance(decision, Mark)
    assert decision.obj["status"]["phase"] == "Terminating"
    assert decide(NAMESPACES, decision.obj, DeleteOptions(), NOW) == Pending()
    assert not is_over(decision.obj)
    decision.obj["spec"]["finalizers"] = []
    assert is_over(decision.obj)


@pytest.mark.parametrize(
    ("metadata", "over"),
    [
        ({}, False),
        ({"deletionTimestamp": "t"}, True),
        ({"deletionTimestamp": "t", "deletionGracePeriodSeconds": 0}, True),
        ({"deletionTimestamp": "t", "deletionGracePeriodSeconds": 30}, False),
        ({"deletionTimestamp": "t", "finalizers": ["a/b"]}, False),
    ],
)
def test_the_last_finalizer_ends_it(metadata: Obj, over: bool) -> None:
    assert is_over({"kind": "ConfigMap", "metadata": metadata}) is over


@pytest.mark.parametrize("options", [DeleteOptions(uid="other"), DeleteOptions(resource_version="6")])
def test_preconditions_are_of_the_object_that_was_meant(options: DeleteOptions) -> None:
    check_preconditions(PODS, pod(), DeleteOptions(uid="u", resource_version="7"))
    with pytest.raises(Conflict, match="does not match"):
        check_preconditions(PODS, pod(), options)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"propagationPolicy": "Sideways"}, Invalid),
        ({"propagationPolicy": "Orphan", "orphanDependents": True}, Invalid),
        ({"gracePeriodSeconds": "5"}, BadRequest),
        ({"gracePeriodSeconds": True}, BadRequest),
        ({"preconditions": 5}, BadRequest),
        ({"dryRun": ["Some"]}, BadRequest),
    ],
)
def test_malformed_options_are_refused(data: Obj, error: type[Exception]) -> None:
    with pytest.raises(error):
        options_of(data)
