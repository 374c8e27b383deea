"""Phases of pods with sidecars and restart rules, and what is said of containers nobody saw end.

Sources: kubelet_pods.go getPhase, status_manager.go TerminatePod and normalizeStatus, KEP-753, KEP-5307.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.meta import Obj, get_condition
from kubelet.pods.model import Ending, Probes
from kubelet.pods.sync.plan import Memory
from tests.unit.kubelet.pods import deleted, exited, pod, running, sandbox, seen
from tests.unit.kubelet.test_status import build
from tests.unit.kubelet.test_sync import plain, ruled, sidecar, told

STARTING = {"s-0": Probes("s-0", started=False)}
WITH_SIDECAR: dict[str, Any] = {"initContainers": [sidecar("s")]}
PHASES = {
    "a sidecar is starting": (pod(**WITH_SIDECAR), seen(sandbox(), running("s")), STARTING, "Pending"),
    "it has started": (pod(**WITH_SIDECAR), seen(sandbox(), running("s")), {}, "Pending"),
    "both run": (pod(**WITH_SIDECAR), seen(sandbox(), running("s"), running()), {}, "Running"),
    "the sidecar starts again beside the app": (
        pod(**WITH_SIDECAR), seen(sandbox(), running("s"), running()), STARTING, "Running",
    ),
    "the sidecar has crashed": (pod(**WITH_SIDECAR), seen(sandbox(), exited("s", code=1), running()), {}, "Running"),
    "the app is done, the sidecar runs": (
        pod(policy="Never", **WITH_SIDECAR), seen(sandbox(), running("s"), exited()), {}, "Running",
    ),
    "both have ended": (
        pod(policy="Never", **WITH_SIDECAR), seen(sandbox(), exited("s", code=143), exited()), {}, "Succeeded",
    ),
    "an init container that fails again and again": (
        pod(init=("i",)), seen(sandbox(), exited("i", code=1)), {}, "Pending",
    ),
    "one that fails for good": (
        pod(initContainers=[{**ruled("Never"), "name": "i"}]), seen(sandbox(), exited("i", code=1)), {}, "Failed",
    ),
    "one that a rule restarts": (
        pod(initContainers=[{**ruled("Never", ("In", [1])), "name": "i"}], policy="Never"),
        seen(sandbox(), exited("i", code=1)), {}, "Pending",
    ),
    "a rule restarts it": (
        pod(containers=[ruled("Never", ("In", [42]))], policy="Never"), seen(sandbox(), exited(code=42)), {}, "Running",
    ),
    "no rule does": (
        pod(containers=[ruled("Never", ("In", [42]))]), seen(sandbox(), exited(code=1)), {}, "Failed",
    ),
    "one is done, the other comes back": (
        pod(containers=[ruled("Never"), plain("b")]), seen(sandbox(), exited(), exited("b", code=1)), {}, "Running",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PHASES, ids=str)
def test_phase(case: str) -> None:
    obj, observed, probes, expected = PHASES[case]
    assert build(obj, observed, Memory(probes=dict(probes)))["phase"] == expected


def test_a_sidecar_counts_for_initialized_when_started_and_for_ready_when_ready() -> None:
    obj = pod(**WITH_SIDECAR)
    starting = build(obj, seen(sandbox(), running("s")), Memory(probes=dict(STARTING)))
    initialized = get_condition({"status": starting}, "Initialized")
    assert initialized is not None
    assert (initialized["status"], initialized["message"]) == ("False", "containers with incomplete status: [s]")
    unready = Memory(probes={"s-0": Probes("s-0", ready=False)})
    built = build(obj, seen(sandbox(), running("s"), running()), unready)
    ready, initialized = (get_condition({"status": built}, t) for t in ("Ready", "Initialized"))
    assert ready is not None and initialized is not None
    assert (ready["message"], initialized["status"]) == ("containers with unready status: [s]", "True")


UNKNOWN = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
    "startedAt": None,
    "finishedAt": None,
}


def ends(built: Obj, kind: str = "containerStatuses") -> list[str]:
    """How each container has ended, or why it waits."""
    states = [next(iter(c["state"].values())) for c in built.get(kind) or []]
    return [f"{s['reason']} {s.get('exitCode', '')}".strip() for s in states]


LOST = {
    "it never ran": (pod(), seen(sandbox()), ["ContainerStatusUnknown 137"], []),
    "one of two ran": (
        pod("a", "b"), seen(sandbox(), exited("a")), ["Completed 0", "ContainerStatusUnknown 137"], [],
    ),
    "the second init container's turn had not come": (
        pod(init=("i", "j")), seen(sandbox(), exited("i", code=1)), ["PodInitializing"], ["Error 1", "PodInitializing"],
    ),
    "nor had the first's": (
        pod(init=("i", "j")), seen(sandbox()), ["PodInitializing"], ["ContainerStatusUnknown 137", "PodInitializing"],
    ),
    "all were through": (
        pod(init=("i",)), seen(sandbox(), exited("i")), ["ContainerStatusUnknown 137"], ["Completed 0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOST, ids=str)
def test_what_nobody_saw_end_counts_as_failed(case: str) -> None:
    obj, observed, apps, inits = LOST[case]
    built = build(deleted(obj), observed)
    assert (ends(built), ends(built, "initContainerStatuses")) == (apps, inits)
    assert built["phase"] == "Failed"


def test_a_container_of_never_that_docker_lost_has_failed() -> None:
    lost = build(pod(policy="Never", status=told("app", running={})), seen(sandbox()))
    assert lost["containerStatuses"][0]["state"] == {"terminated": UNKNOWN}
    assert lost["phase"] == "Failed"


def test_a_pod_the_node_ends_is_failed_when_nothing_runs() -> None:
    """status_manager.go mergePodStatus: no terminal phase while something may run."""
    memory = Memory(ending=Ending("Evicted", "low on memory"))
    built = build(pod(), seen(sandbox(), running()), memory)
    assert built["phase"] == "Running" and "reason" not in built
    built = build(pod(), seen(sandbox(), exited()), memory)
    assert (built["phase"], built["reason"], built["message"]) == ("Failed", "Evicted", "low on memory")
    ready = get_condition({"status": built}, "Ready")
    assert ready is not None and (ready["status"], ready["reason"]) == ("False", "PodFailed")


def test_a_pod_that_nobody_scheduled_is_scheduled() -> None:
    built = build(pod(), seen(sandbox(), running()))
    scheduled = get_condition({"status": built}, "PodScheduled")
    assert scheduled is not None and (scheduled["status"], scheduled["observedGeneration"]) == ("True", 1)


def test_disruption_is_told_once() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": "m"}
    memory = Memory(ending=Ending("Evicted", "low", condition=condition))
    theirs = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    for stored, reason in (([], "TerminationByKubelet"), ([theirs], "EvictionByEvictionAPI")):
        built = build(pod(status={"conditions": stored}), seen(sandbox(), exited()), memory)
        found = [c["reason"] for c in built["conditions"] if c["type"] == "DisruptionTarget"]
        assert found == [reason]


def test_messages_of_many_containers_share_twelve_kilobytes() -> None:
    names = tuple(f"c{i}" for i in range(12))
    observed = seen(sandbox(), *(exited(n, code=1, message="é" * 2048) for n in names))
    built = build(pod(*names, policy="Never"), observed)
    sizes = {len(c["state"]["terminated"]["message"].encode()) for c in built["containerStatuses"]}
    assert sizes == {1024}


def test_what_docker_says_comes_before_what_the_container_wrote() -> None:
    built = build(pod(policy="Never"), seen(sandbox(), exited(code=1, error="oci", message="mine")))
    assert built["containerStatuses"][0]["state"]["terminated"]["message"] == "oci: mine"
