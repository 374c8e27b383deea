"""Statuses as upstream reports them, from what runs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from api.meta import Obj, get_condition
from kubelet.pods.model import Failure, PodContainers, Probes
from kubelet.pods.status import build as status
from kubelet.pods.status.conditions import OWNED_CONDITIONS
from kubelet.pods.sync.plan import Memory, Plan
from tests.unit.kubelet.pods import NOW, deleted, exited, pod, running, sandbox, seen


def build(obj: Obj, observed: PodContainers, memory: Memory | None = None, plan: Plan | None = None) -> Obj:
    return status.build(obj, observed, memory or Memory(), plan or Plan(), "192.0.2.1", NOW)


def state(built: Obj, index: int = 0, field: str = "containerStatuses") -> Obj:
    found: Obj = built[field][index]["state"]
    return found


PHASES = {
    "nothing yet": (pod(), seen(), "Pending"),
    "a sandbox": (pod(), seen(sandbox()), "Pending"),
    "init runs": (pod(init=("i",)), seen(sandbox(), running("i")), "Pending"),
    "init done, app not yet": (pod(init=("i",)), seen(sandbox(), exited("i")), "Pending"),
    "init failed for good": (pod(init=("i",), policy="Never"), seen(sandbox(), exited("i", code=1)), "Failed"),
    "init failed, tried again": (pod(init=("i",)), seen(sandbox(), exited("i", code=1)), "Pending"),
    "runs": (pod(), seen(sandbox(), running()), "Running"),
    "one of two runs": (pod("a", "b"), seen(sandbox(), running("a")), "Pending"),
    "crashed, comes back": (pod(), seen(sandbox(), exited(code=1)), "Running"),
    "failed for good": (pod(policy="Never"), seen(sandbox(), exited(code=1)), "Failed"),
    "succeeded": (pod(policy="Never"), seen(sandbox(), exited()), "Succeeded"),
    "OnFailure succeeded": (pod(policy="OnFailure"), seen(sandbox(), exited()), "Succeeded"),
    "OnFailure failed": (pod(policy="OnFailure"), seen(sandbox(), exited(code=1)), "Running"),
    "a new sandbox repeats init": (
        pod(init=("i",)), seen(sandbox(1), running("i", 1, box=1), exited(code=137)), "Pending",
    ),
    "deleted and all ended": (deleted(pod()), seen(sandbox(), exited(code=143)), "Failed"),
    "deleted, ended well": (deleted(pod()), seen(sandbox(), exited()), "Succeeded"),
    "terminal stays terminal": (pod(status={"phase": "Failed"}), seen(sandbox(), running()), "Failed"),
}  # fmt: skip


@pytest.mark.parametrize("case", PHASES, ids=str)
def test_phase(case: str) -> None:
    obj, observed, expected = PHASES[case]
    assert build(obj, observed)["phase"] == expected


def test_a_running_pod_in_full() -> None:
    built = build(pod(), seen(sandbox(), running()))
    assert built["podIP"] == "10.0.0.9" and built["podIPs"] == [{"ip": "10.0.0.9"}]
    assert built["hostIP"] == "192.0.2.1" and built["qosClass"] == "BestEffort"
    assert built["startTime"] == "2026-01-02T03:04:05Z" and built["observedGeneration"] == 1
    assert built["containerStatuses"] == [
        {
            "name": "app",
            "ready": True,
            "restartCount": 0,
            "image": "busybox:1",
            "imageID": "docker://sha256:1",
            "containerID": "docker://app-0",
            "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
            "lastState": {},
            "started": True,
            "resources": {},
        }
    ]
    for type_ in OWNED_CONDITIONS:
        condition = get_condition({"status": built}, type_)
        assert condition is not None and condition["status"] == "True", type_


def test_waiting_reasons_before_the_start() -> None:
    assert state(build(pod(), seen())) == {"waiting": {"reason": "ContainerCreating"}}
    built = build(pod(init=("i", "j")), seen())
    assert state(built) == {"waiting": {"reason": "PodInitializing"}}
    assert state(built, 0, "initContainerStatuses") == {"waiting": {"reason": "PodInitializing"}}
    assert state(built, 1, "initContainerStatuses") == {"waiting": {"reason": "PodInitializing"}}


TERMINATED = {
    "Completed": exited(),
    "Error": exited(code=3),
    "OOMKilled": exited(code=137, oom_killed=True),
    "ContainerCannotRun": exited(code=127, start_failed=True, error="no such file"),
}


@pytest.mark.parametrize("reason", TERMINATED)
def test_terminated_reasons(reason: str) -> None:
    ended = state(build(pod(policy="Never"), seen(sandbox(), TERMINATED[reason])))["terminated"]
    assert ended["reason"] == reason
    assert ended["exitCode"] == TERMINATED[reason].exit_code
    assert ended["containerID"] == "docker://app-0"


def test_crash_loop_shows_the_end_as_last_state() -> None:
    plan = Plan(waiting={"app": "back-off 10s …"})
    built = build(pod(), seen(sandbox(), exited(attempt=1, code=1)), plan=plan)
    (told,) = built["containerStatuses"]
    assert told["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s …"}}
    assert told["lastState"]["terminated"]["exitCode"] == 1
    assert (told["restartCount"], told["ready"]) == (1, False)
    ready = get_condition({"status": built}, "Ready")
    assert ready is not None
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [app]")


def test_a_failed_try_is_the_waiting_state() -> None:
    memory = Memory(failures={"app": Failure("ErrImagePull", "no such image", 0, NOW)})
    built = build(pod(), seen(sandbox()), memory)
    assert state(built) == {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}


def test_a_restarted_container_tells_its_previous_end() -> None:
    (told,) = build(pod(), seen(sandbox(), exited(code=2), running(attempt=1)))["containerStatuses"]
    assert told["restartCount"] == 1
    assert told["lastState"]["terminated"]["exitCode"] == 2


def test_readiness_and_startup_probes_decide() -> None:
    unready = Memory(probes={"app-0": Probes("app-0", ready=False)})
    (told,) = build(pod(), seen(sandbox(), running()), unready)["containerStatuses"]
    assert (told["ready"], told["started"]) == (False, True)
    starting = Memory(probes={"app-0": Probes("app-0", started=False)})
    (told,) = build(pod(), seen(sandbox(), running()), starting)["containerStatuses"]
    assert (told["ready"], told["started"]) == (False, False)


def test_init_containers_are_named_while_incomplete() -> None:
    built = build(pod(init=("i", "j")), seen(sandbox(), exited("i"), running("j")))
    initialized = get_condition({"status": built}, "Initialized")
    assert initialized is not None
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [j]"


def test_a_completed_pod_says_so() -> None:
    built = build(pod(policy="Never"), seen(sandbox(state="exited"), exited()))
    ready = get_condition({"status": built}, "Ready")
    assert ready is not None and (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_readiness_gates_hold_back_ready_only() -> None:
    built = build(pod(readinessGates=[{"conditionType": "x/y"}]), seen(sandbox(), running()))
    ready, containers = (get_condition({"status": built}, t) for t in ("Ready", "ContainersReady"))
    assert ready is not None and containers is not None
    assert (ready["status"], ready["reason"], containers["status"]) == ("False", "ReadinessGatesNotReady", "True")


def test_conditions_of_others_and_transition_times_are_kept() -> None:
    first = build(pod(), seen(sandbox(), running()))
    theirs = {"type": "example.com/x", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    stored = pod(status={**first, "conditions": [theirs, *first["conditions"]]})
    later = NOW + timedelta(seconds=9)
    second = status.build(stored, seen(sandbox(), running()), Memory(), Plan(), "192.0.2.1", later)
    assert theirs in second["conditions"]
    assert status.same({**second, "conditions": [c for c in second["conditions"] if c != theirs]}, first)


def test_the_word_of_one_who_had_lost_sight_is_taken_back() -> None:
    lost = pod(status={"phase": "Unknown", "reason": "NodeLost", "message": "gone"})
    built = build(lost, seen(sandbox(), running()))
    assert built["phase"] == "Running"
    assert "reason" not in built and "message" not in built


def test_a_container_removed_behind_our_back() -> None:
    told = {"name": "app", "restartCount": 2, "containerID": "docker://x", "state": {"running": {}}}
    built = build(pod(status={"containerStatuses": [told]}), seen(sandbox()))
    (new,) = built["containerStatuses"]
    assert new["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert new["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_ephemeral_containers_have_statuses_and_do_not_count() -> None:
    """KEP-277: the pod's phase and readiness are those of its other containers."""
    debugged = pod(ephemeralContainers=[{"name": "dbg", "image": "busybox:1"}])
    built = build(debugged, seen(sandbox(), running(), exited("dbg", code=1)))
    assert built["phase"] == "Running"
    assert get_condition({"status": built}, "Ready")["status"] == "True"  # type: ignore[index]
    (told,) = built["ephemeralContainerStatuses"]
    assert (told["name"], told["ready"], told["restartCount"]) == ("dbg", False, 0)
    assert told["state"]["terminated"]["exitCode"] == 1 and "started" not in told
