"""What a node refuses, by reason and message. Source: pkg/kubelet/lifecycle/predicate.go."""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj
from kubelet.configuration import Configuration
from kubelet.pods.admission import Rejection, admit
from tests.unit.kubelet.pods import pod


def node(**more: Any) -> Obj:
    allocatable = {"cpu": "2", "memory": "1Gi", "pods": "3", "example.com/card": "1"}
    return {
        "metadata": {"name": "n1", "labels": {"disk": "ssd"}},
        "spec": more,
        "status": {"allocatable": allocatable},
    }


def asking(**requests: str) -> Obj:
    return pod(
        containers=[{"name": "app", "resources": {"requests": {k.replace("_", "/"): v for k, v in requests.items()}}}]
    )


def port(number: int, **more: Any) -> Obj:
    return pod(containers=[{"name": "app", "ports": [{"containerPort": 1, "hostPort": number, **more}]}])


def on(key: str, *values: str, kind: str = "matchExpressions") -> Obj:
    terms = [{kind: [{"key": key, "operator": "In", "values": list(values)}]}]
    return pod(
        affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    )


def labelled(key: str, value: str) -> Obj:
    made = pod()
    made["metadata"]["labels"] = {key: value}
    return made


def static(made: Obj) -> Obj:
    made["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    return made


HARD = [{"key": "k", "value": "v", "effect": "NoExecute"}]
SHORT = "Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}"
AFFINITY = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
PORTS = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
TAINT = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
CASES: dict[str, tuple[Obj, Obj, list[Obj], Rejection | None]] = {
    "a plain pod": (pod(), node(), [], None),
    "as much cpu as is left": (asking(cpu="500m"), node(), [asking(cpu="1500m")], None),
    "more cpu": (
        asking(cpu="501m"), node(), [asking(cpu="1500m")],
        Rejection("OutOfcpu", SHORT.format("cpu", 501, 1500, 2000), {"cpu": 1}),
    ),
    "more memory": (
        asking(memory="2Gi"), node(), [],
        Rejection("OutOfmemory", SHORT.format("memory", 1 << 31, 0, 1 << 30), {"memory": 1 << 30}),
    ),
    "an extended resource the node has": (
        asking(**{"example.com_card": "2"}), node(), [],
        Rejection("OutOfexample.com/card", SHORT.format("example.com/card", 2, 0, 1), {"example.com/card": 1}),
    ),
    "and one it has not heard of": (asking(**{"example.com_other": "2"}), node(), [], None),
    "a pod that asks for nothing fits beside one that takes all": (pod(), node(), [asking(cpu="4")], None),
    "too many pods": (
        pod(), node(), [pod()] * 3,
        Rejection("OutOfpods", SHORT.format("pods", 1, 3, 3), {"pods": 1}),
    ),
    "the first thing that lacks is told, all that lack are known": (
        asking(cpu="3", memory="2Gi"), node(), [],
        Rejection("OutOfcpu", SHORT.format("cpu", 3000, 0, 2000), {"cpu": 1000, "memory": 1 << 30}),
    ),
    "what lacks is told before the rest": (
        asking(cpu="3") | {"spec": {**asking(cpu="3")["spec"], "nodeSelector": {"disk": "tape"}}}, node(), [],
        Rejection("OutOfcpu", SHORT.format("cpu", 3000, 0, 2000), {"cpu": 1000}),
    ),
    "but not of a critical pod, which may get room": (
        static(asking(cpu="3") | {"spec": {**asking(cpu="3")["spec"], "nodeSelector": {"disk": "tape"}}}), node(), [],
        Rejection("NodeAffinity", AFFINITY),
    ),
    "a selector that fits": (pod(nodeSelector={"disk": "ssd"}), node(), [], None),
    "and one that does not": (pod(nodeSelector={"disk": "tape"}), node(), [], Rejection("NodeAffinity", AFFINITY)),
    "an affinity that fits": (on("disk", "hdd", "ssd"), node(), [], None),
    "an affinity that does not": (on("disk", "hdd"), node(), [], Rejection("NodeAffinity", AFFINITY)),
    "an affinity to the node's name": (on("metadata.name", "n1", kind="matchFields"), node(), [], None),
    "the name of another": (
        on("metadata.name", "n2", kind="matchFields"), node(), [], Rejection("NodeAffinity", AFFINITY),
    ),
    "a free port": (port(80), node(), [port(81), port(80, protocol="UDP")], None),
    "the same port on another address": (port(80, hostIP="192.0.2.1"), node(), [port(80, hostIP="192.0.2.2")], None),
    "a taken port": (port(80), node(), [port(80, hostIP="192.0.2.2")], Rejection("NodePorts", PORTS)),
    "a taint": (pod(), node(taints=HARD), [], Rejection("TaintToleration", TAINT)),
    "a taint that is tolerated": (pod(tolerations=[{"operator": "Exists"}]), node(taints=HARD), [], None),
    "a taint for the scheduler alone": (pod(), node(taints=[{"key": "k", "effect": "NoSchedule"}]), [], None),
    "static pods are not asked": (static(pod()), node(taints=HARD), [], None),
    "another system": (
        pod(os={"name": "windows"}), node(), [],
        Rejection("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
    ),
    "another system by label": (
        labelled("kubernetes.io/os", "windows"), node(), [],
        Rejection(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        ),
    ),
    "a node that is not known yet": (asking(cpu="400"), {}, [], None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_admission(case: str) -> None:
    obj, where, others, expected = CASES[case]
    assert admit(obj, where, others, Configuration()) == expected
