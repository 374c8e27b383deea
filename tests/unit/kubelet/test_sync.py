"""The decision table: what is there, what is done about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from api.meta import Obj
from kubelet.pods.model import BackOff, Container, Ending, Failure, Probes, back_off_key, spec_hash
from kubelet.pods.status.build import build
from kubelet.pods.sync.decide import decide
from kubelet.pods.sync.plan import (
    Finish,
    Kill,
    MakeSandbox,
    Memory,
    ReleaseVolumes,
    Remove,
    StartContainer,
    StopSandbox,
)
from kubelet.pods.sync.restarts import go_duration, next_attempt
from kubelet.pods.sync.wind_down import begin
from tests.unit.kubelet.pods import NOW, deleted, exited, pod, running, sandbox, seen


def shown(plan_actions: list[object]) -> list[str]:
    """Actions as short words, so that a table of them can be read."""
    words = []
    for action in plan_actions:
        match action:
            case MakeSandbox(attempt):
                words.append(f"sandbox {attempt}")
            case StartContainer(name, attempt):
                words.append(f"start {name} {attempt}")
            case Kill():
                words.append(f"kill {action.container.id} {action.grace}")
            case StopSandbox(container):
                words.append(f"stop {container.id}")
            case Remove(container):
                words.append(f"remove {container.id}")
            case ReleaseVolumes():
                words.append("release volumes")
            case Finish():
                words.append("finish")
    return words


def sidecar(name: str) -> Obj:
    return {"name": name, "image": "busybox:1", "restartPolicy": "Always"}


def plain(name: str) -> Obj:
    return {"name": name, "image": "busybox:1"}


def ruled(policy: str, *rules: tuple[str, list[int]]) -> Obj:
    """A container with its own restart policy and rules (KEP-5307)."""
    found = [{"action": "Restart", "exitCodes": {"operator": o, "values": v}} for o, v in rules]
    return {"name": "app", "image": "busybox:1", "restartPolicy": policy, "restartPolicyRules": found}


def told(name: str, kind: str = "containerStatuses", **state: Obj) -> Obj:
    return {kind: [{"name": name, "containerID": "docker://gone", "restartCount": 0, "state": state}]}


DEBUG = [{"name": "dbg", "image": "busybox:1", "targetContainerName": "app"}]  # KEP-277
CASES = {
    "a new pod gets a sandbox": (pod(), seen(), ["sandbox 0"]),
    "then its container": (pod(), seen(sandbox()), ["start app 0"]),
    "then nothing": (pod(), seen(sandbox(), running()), []),
    "two containers start together": (pod("a", "b"), seen(sandbox()), ["start a 0", "start b 0"]),
    "the first init container comes first": (pod(init=("i", "j")), seen(sandbox()), ["start i 0"]),
    "the second waits for the first": (pod(init=("i", "j")), seen(sandbox(), running("i")), []),
    "the second follows the first": (pod(init=("i", "j")), seen(sandbox(), exited("i")), ["start j 0"]),
    "the app follows the last": (pod(init=("i",)), seen(sandbox(), exited("i")), ["start app 0"]),
    "a failed init container is tried again": (
        pod(init=("i",)), seen(sandbox(), exited("i", code=1)), ["start i 1"],
    ),
    "with Never it is not, and the pod ends": (
        pod(init=("i",), policy="Never"), seen(sandbox(), exited("i", code=1)), ["stop sb-0", "release volumes"],
    ),
    "an ephemeral container starts while the pod runs": (
        pod(ephemeralContainers=DEBUG), seen(sandbox(), running()), ["start dbg 0"],
    ),
    "and before init containers are through": (
        pod(init=("i",), ephemeralContainers=DEBUG), seen(sandbox(), running("i")), ["start dbg 0"],
    ),
    "it is never started again": (
        pod(ephemeralContainers=DEBUG), seen(sandbox(), running(), exited("dbg", code=1)), [],
    ),
    "not even when Docker has lost it": (
        pod(ephemeralContainers=DEBUG, status={"ephemeralContainerStatuses": [{"name": "dbg", "containerID": "x"}]}),
        seen(sandbox(), running()), [],
    ),
    "an exited container is restarted": (pod(), seen(sandbox(), exited()), ["start app 1"]),
    "OnFailure restarts a failure": (
        pod(policy="OnFailure"), seen(sandbox(), exited(code=1)), ["start app 1"],
    ),
    "OnFailure lets success be": (pod(policy="OnFailure"), seen(sandbox(), exited()), ["stop sb-0", "release volumes"]),
    "Never lets failure be": (pod(policy="Never"), seen(sandbox(), exited(code=1)), ["stop sb-0", "release volumes"]),
    "a finished pod keeps its dead sandbox": (
        pod(policy="Never"), seen(sandbox(state="exited"), exited()), ["release volumes"],
    ),
    "one of two has ended, the other goes on": (
        pod("a", "b", policy="Never"), seen(sandbox(), exited("a"), running("b")), [],
    ),
    "a dead sandbox takes its containers along": (
        pod(), seen(sandbox(state="exited"), running()), ["kill app-0 0"],
    ),
    "and is replaced once they are dead": (
        pod(), seen(sandbox(state="exited"), exited(code=137)), ["remove sb-0", "sandbox 1"],
    ),
    "in a new sandbox all starts again": (
        pod(init=("i",)), seen(sandbox(1), exited("i"), exited(code=137)), ["start i 1"],
    ),
    "the app too, with a higher count": (
        pod(init=("i",)),
        seen(sandbox(1), exited("i"), exited("i", 1, box=1), exited(code=137)),
        ["start app 1"],
    ),
    "OnFailure: what had succeeded is not run again in a new sandbox": (
        pod("a", "b", policy="OnFailure"),
        seen(sandbox(1), exited("a"), exited("b", code=137)),
        ["start b 1"],
    ),
    "a made but never started container is made anew": (
        pod(),
        seen(sandbox(), running("app").__class__(
            "app-0", "u-1", "web", "default", "app", 0, "created", sandbox_id="sb-0")),
        ["remove app-0", "start app 0"],
    ),
    "only the two newest of a name are kept": (
        pod(), seen(sandbox(), exited(attempt=0), exited(attempt=1), running(attempt=2)), ["remove app-0"],
    ),
    "a restart leaves the newest exited one only": (
        pod(), seen(sandbox(), exited(attempt=0, ago=9), exited(attempt=1)), ["start app 2", "remove app-0"],
    ),
    "a container the spec does not have is ended": (
        pod(), seen(sandbox(), running(), running("other")), ["kill other-0 30"],
    ),
    "a changed image asks for a new container": (
        pod(), seen(sandbox(), running(spec_hash="of another image")), ["kill app-0 30"],
    ),
    "a deleted pod's containers are ended": (deleted(pod(), 7), seen(sandbox(), running()), ["kill app-0 7"]),
    "then it is finished": (deleted(pod()), seen(sandbox(), exited()), ["finish"]),
    "a deleted pod that never ran is finished": (deleted(pod()), seen(), ["finish"]),
    "a deleted pod starts nothing": (deleted(pod("a", "b")), seen(sandbox(), running("a")), ["kill a-0 30"]),
    "a pod marked Failed by another is ended": (
        pod(status={"phase": "Failed"}), seen(sandbox(), running()), ["kill app-0 30"],
    ),
    "a finished pod is not started": (pod(status={"phase": "Succeeded"}), seen(), ["release volumes"]),
    # KEP-753, computeInitContainerActions: sidecars.
    "a sidecar is started in its turn": (
        pod(initContainers=[plain("i"), sidecar("s")]), seen(sandbox(), exited("i")), ["start s 0"],
    ),
    "one that runs lets the next begin": (
        pod(initContainers=[sidecar("s"), plain("i")]), seen(sandbox(), running("s")), ["start i 0"],
    ),
    "a crashed one is restarted before the next has begun": (
        pod(initContainers=[sidecar("s"), plain("i")]), seen(sandbox(), exited("s", code=1)), ["start s 1"],
    ),
    "and beside the next, whose turn is not put off": (
        pod(initContainers=[sidecar("s"), plain("i"), plain("j")]),
        seen(sandbox(), exited("s", code=1), exited("i")),
        ["start s 1", "start j 0"],
    ),
    "even when it had ended well, with Never": (
        pod(initContainers=[sidecar("s")], policy="Never"), seen(sandbox(), exited("s"), running()), ["start s 1"],
    ),
    "one that Docker has lost is started again": (
        pod(initContainers=[sidecar("s"), plain("i")]), seen(sandbox(), exited("i"), running()), ["start s 0"],
    ),
    "a plain one that Docker has lost is not, once the app has begun": (
        pod(init=("i",)), seen(sandbox(), running()), [],
    ),
    "sidecars do not keep a pod from completing": (
        pod(initContainers=[sidecar("s")], policy="Never"), seen(sandbox(), running("s"), exited()), ["kill s-0 30"],
    ),
    "nor are they started again then": (
        pod(initContainers=[sidecar("s")], policy="Never"),
        seen(sandbox(), exited("s", code=143), exited()),
        ["stop sb-0", "release volumes"],
    ),
    "a pod that cannot be initialized ends its sidecars": (
        pod(initContainers=[sidecar("s"), plain("i")], policy="Never"),
        seen(sandbox(), running("s"), exited("i", code=1)),
        ["kill s-0 30"],
    ),
    "in a new sandbox sidecars are first again": (
        pod(initContainers=[sidecar("s")]), seen(sandbox(1), exited("s", code=137), exited(code=137)), ["start s 1"],
    ),
    # KEP-5307: a container's own restart policy and rules.
    "its own Never counts": (
        pod(containers=[ruled("Never"), plain("b")]), seen(sandbox(), exited(code=1), running("b")), [],
    ),
    "its own Always counts": (
        pod(containers=[ruled("Always")], policy="Never"), seen(sandbox(), exited()), ["start app 1"],
    ),
    "a rule restarts what its policy would not": (
        pod(containers=[ruled("Never", ("In", [42]))], policy="Never"),
        seen(sandbox(), exited(code=42)),
        ["start app 1"],
    ),
    "another exit code is left to the policy": (
        pod(containers=[ruled("Never", ("In", [42]))], policy="Never"), seen(sandbox(), exited(code=41)), ["stop sb-0", "release volumes"],
    ),
    "a rule on all codes but some": (
        pod(containers=[ruled("Never", ("NotIn", [0, 41]))], policy="Never"),
        seen(sandbox(), exited(code=1)),
        ["start app 1"],
    ),
    "the pod ends when none is to be restarted": (
        pod(containers=[ruled("Never")]), seen(sandbox(), exited(code=1)), ["stop sb-0", "release volumes"],
    ),
    "an init container may be retried with Never, too": (
        pod(initContainers=[{**ruled("OnFailure"), "name": "i"}], policy="Never"),
        seen(sandbox(), exited("i", code=1)),
        ["start i 1"],
    ),
    # What Docker has lost.
    "a lost container is started again": (
        pod(status=told("app", running={})), seen(sandbox()), ["start app 1"],
    ),
    "with Never it is not: it ran": (
        pod(policy="Never", status=told("app", running={})), seen(sandbox()), ["stop sb-0", "release volumes"],
    ),
    "nor is one that had ended well": (
        pod(policy="OnFailure", status=told("app", terminated={"exitCode": 0})), seen(), ["release volumes"],
    ),
    "past its deadline it is ended": (
        pod(activeDeadlineSeconds=5, status={"startTime": "2026-01-02T03:04:00Z"}),
        seen(sandbox(), running()),
        ["kill app-0 30"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_decision(case: str) -> None:
    obj, observed, expected = CASES[case]
    assert shown(list(decide(obj, observed, Memory(), NOW).actions)) == expected


def back_off(delay: float, updated: datetime = NOW) -> BackOff:
    """Of the container of `pod()`."""
    return BackOff(delay, updated, back_off_key(pod()["spec"]["containers"][0]))


def test_first_crash_restarts_at_once_the_second_waits() -> None:
    memory = Memory()
    plan = decide(pod(), seen(sandbox(), exited(code=1)), memory, NOW)
    (start,) = plan.actions
    assert isinstance(start, StartContainer)
    assert start.back_off == back_off(10.0)
    memory.back_offs["app"] = start.back_off
    later = NOW + timedelta(seconds=1)
    again = decide(pod(), seen(sandbox(), exited(attempt=1, code=1)), memory, later)
    assert again.actions == []
    assert again.wake_at == NOW + timedelta(seconds=10)
    assert again.waiting == {
        "app": "back-off 10s restarting failed container=app pod=web_default(u-1)",
    }


def test_back_off_doubles_up_to_five_minutes() -> None:
    memory, delays = Memory(back_offs={"app": back_off(10.0)}), []
    at = NOW
    for attempt in range(1, 8):
        ended = exited(attempt=attempt, code=1, ago=(NOW - at).total_seconds())
        waiting = decide(pod(), seen(sandbox(), ended), memory, at)
        assert waiting.wake_at is not None
        at = waiting.wake_at
        (start, *_) = decide(pod(), seen(sandbox(), ended), memory, at).actions
        assert isinstance(start, StartContainer) and start.back_off is not None
        memory.back_offs["app"] = start.back_off
        delays.append(start.back_off.delay)
    assert delays == [20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]


def test_ten_minutes_of_running_reset_the_back_off() -> None:
    memory = Memory(back_offs={"app": back_off(300.0, NOW - timedelta(seconds=601))})
    (start,) = decide(pod(), seen(sandbox(), exited(code=1)), memory, NOW).actions
    assert isinstance(start, StartContainer)
    assert start.back_off == back_off(10.0)


def test_a_failed_try_waits_for_its_time() -> None:
    until = NOW + timedelta(seconds=5)
    refused = spec_hash(pod()["spec"]["containers"][0])
    memory = Memory(failures={"app": Failure("ImagePullBackOff", "no", 0, until, refused)})
    plan = decide(pod(), seen(sandbox()), memory, NOW)
    assert (plan.actions, plan.wake_at) == ([], until)
    assert shown(list(decide(pod(), seen(sandbox()), memory, until).actions)) == ["start app 0"]
    corrected = pod(containers=[{"name": "app", "image": "busybox:2"}])
    assert shown(list(decide(corrected, seen(sandbox()), memory, NOW).actions)) == ["start app 0"]


@pytest.mark.parametrize("changed", [{"image": "busybox:2"}, {"resources": {"limits": {"memory": "64Mi"}}}], ids=str)
def test_a_changed_container_does_not_wait_for_what_it_was(changed: Obj) -> None:
    """GetBackoffKey: image and resources are part of it. The delay begins anew, too."""
    memory = Memory(back_offs={"app": back_off(300.0)})
    obj = pod(containers=[{"name": "app", "image": "busybox:1", **changed}])
    (start,) = decide(obj, seen(sandbox(), exited(code=1)), memory, NOW).actions
    assert isinstance(start, StartContainer) and start.back_off is not None and start.back_off.delay == 10.0


@pytest.mark.parametrize(
    ("obj", "code", "renewed"),
    [
        (pod(policy="OnFailure"), 0, True),
        (pod(policy="OnFailure", containers=[ruled("OnFailure")]), 0, True),
        (pod(policy="Never", containers=[ruled("OnFailure")]), 0, True),
        (pod(policy="Never"), 137, False),
        (pod(containers=[ruled("Never")]), 0, False),
    ],
)
def test_who_is_killed_by_a_probe_starts_again_however_he_ends(obj: Obj, code: int, renewed: bool) -> None:
    """computePodActions kills and starts in one step, unless the policy is Never."""
    memory = Memory(probes={"app-0": Probes("app-0", failed="liveness")})
    (kill,) = decide(obj, seen(sandbox(), running()), memory, NOW).actions
    assert isinstance(kill, Kill) and kill.renew is renewed
    memory.renewals |= {"app-0"} if kill.renew else set()
    ended = seen(sandbox(), exited(code=code))
    plan = decide(obj, ended, memory, NOW)
    assert shown(list(plan.actions)) == (["start app 1"] if renewed else ["stop sb-0", "release volumes"])
    status = build(obj, ended, memory, plan, "192.0.2.1", NOW)
    assert (status["phase"] == "Running") is renewed
    (told,) = status["containerStatuses"]
    if renewed:  # the apiserver lets nobody come back who was told to have ended for good
        assert (told["state"], told["ready"]) == ({"waiting": {"reason": "ContainerCreating"}}, False)
        assert told["lastState"]["terminated"]["exitCode"] == code
    else:
        assert told["state"]["terminated"]["exitCode"] == code


def test_a_new_image_restarts_sidecars_and_no_other_init_container() -> None:
    """computeInitContainerActions; https://github.com/kubernetes/kubernetes/pull/126525."""
    plain_one = pod(init=("i",), policy="Never")
    assert decide(plain_one, seen(sandbox(), running("i", spec_hash="other")), Memory(), NOW).actions == []
    obj = pod(initContainers=[sidecar("s")], policy="Never")
    (kill,) = decide(obj, seen(sandbox(), running("s", spec_hash="other"), running()), Memory(), NOW).actions
    assert isinstance(kill, Kill) and (kill.renew, kill.message) == (True, "Init container s definition changed")


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_new_image_wakes_nobody_who_had_ended(policy: str) -> None:
    """A definition that changes is looked at only where the container runs."""
    obj = pod("app", "b", policy=policy)
    ended = exited(code=0, spec_hash="that-of-another-image")
    assert decide(obj, seen(sandbox(), ended, running("b")), Memory(), NOW).actions == []
    (kill,) = decide(obj, seen(sandbox(), running(spec_hash="other"), running("b")), Memory(), NOW).actions
    assert isinstance(kill, Kill) and kill.renew
    both = seen(sandbox(), exited(code=0), running("b"))
    assert shown(list(decide(obj, both, Memory(renewals={"app-0"}), NOW).actions)) == ["start app 1"]


def test_the_delay_of_who_is_killed_to_be_renewed_counts_from_the_end_before() -> None:
    """doBackOff looks at the containers as they were before the kill: of one that fails its probe every minute, the first
    five restarts are immediate, and the sixth waits."""
    memory, at, delays, older = Memory(), NOW, [], list[Container]()
    for attempt in range(6):
        ended = exited(attempt=attempt, code=137, ago=(NOW - at).total_seconds())
        memory.renewals = {c.id for c in (ended, *older)}
        plan = decide(pod(), seen(sandbox(), ended, *older), memory, at)
        waits = (plan.wake_at - at).total_seconds() if plan.wake_at else 0
        delays.append(waits)
        if waits:
            assert plan.waiting == {"app": "back-off 1m20s restarting failed container=app pod=web_default(u-1)"}
            later = decide(pod(), seen(sandbox(), ended, *older), memory, at + timedelta(seconds=80))
            start = later.actions[0]
        else:
            start = plan.actions[0]
        assert isinstance(start, StartContainer) and start.attempt == attempt + 1
        if start.back_off is not None:
            memory.back_offs["app"] = start.back_off
        older = [ended]
        at += timedelta(seconds=60)
    assert delays == [0, 0, 0, 0, 0, 80]


def test_a_start_that_a_kill_broke_off_does_not_count_as_another_end() -> None:
    """The container that was made and never started is made anew; the delay counts from the end before the renewed one."""
    made, killed, before = running(attempt=2), exited(attempt=1, code=137), exited(code=1, ago=60)
    memory = Memory(back_offs={"app": back_off(10.0)}, renewals={"app-1"})
    observed = seen(sandbox(), replace(made, state="created"), killed, before)
    assert shown(list(decide(pod(), observed, memory, NOW).actions)) == ["remove app-2", "start app 2", "remove app-0"]


def test_failed_liveness_kills_with_the_probes_own_grace() -> None:
    memory = Memory(probes={"app-0": Probes("app-0", failed="liveness", grace=3)})
    (kill,) = decide(pod(), seen(sandbox(), running()), memory, NOW).actions
    assert isinstance(kill, Kill)
    assert (kill.grace, kill.message) == (3, "Container app failed liveness probe, will be restarted")
    (kill,) = decide(pod(policy="Never"), seen(sandbox(), running()), memory, NOW).actions
    assert isinstance(kill, Kill) and kill.message == "Container app failed liveness probe"


def test_a_sidecar_that_failed_its_probe_is_killed_in_its_own_words() -> None:
    memory = Memory(probes={"s-0": Probes("s-0", failed="startup")})
    (kill,) = decide(pod(initContainers=[sidecar("s")]), seen(sandbox(), running("s"), running()), memory, NOW).actions
    assert isinstance(kill, Kill) and kill.message == "Init container s failed startup probe"


def test_a_kill_under_way_is_repeated_only_when_sooner() -> None:
    memory = Memory(kills={"app-0": NOW + timedelta(seconds=30)})
    begin(deleted(pod(), 30), memory, NOW)
    assert decide(deleted(pod(), 30), seen(sandbox(), running()), memory, NOW).actions == []
    begin(deleted(pod(), 2), memory, NOW)
    sooner = decide(deleted(pod(), 2), seen(sandbox(), running()), memory, NOW)
    assert shown(list(sooner.actions)) == ["kill app-0 2"]


def test_grace_runs_from_when_it_was_given() -> None:
    """pod_workers.go calculateEffectiveGracePeriod: it may only become shorter, and never less than a second."""
    memory, later = Memory(), NOW + timedelta(seconds=20)

    def left(obj: Obj, at: datetime) -> int:
        begin(obj, memory, at)
        (kill,) = decide(obj, seen(sandbox(), running()), memory, at).actions
        assert isinstance(kill, Kill)
        return kill.grace

    assert left(deleted(pod(), 30), NOW) == 30
    assert left(deleted(pod(), 30), later) == 10
    assert left(deleted(pod(), 60), later) == 10
    assert left(deleted(pod(), 5), later) == 5, "five seconds from now, though twenty are over"
    assert left(deleted(pod(), 0), later) == 1
    memory.ending = Ending("Evicted", "", 0)
    assert left(deleted(pod(), 30), later) == 1


def test_a_pod_the_node_ends_is_wound_down_within_the_grace_given() -> None:
    memory = Memory(ending=Ending("Evicted", "low", 3))
    assert shown(list(decide(pod(), seen(sandbox(), running()), memory, NOW).actions)) == ["kill app-0 3"]
    ended = decide(pod(), seen(sandbox(), exited(code=143)), memory, NOW)
    assert shown(list(ended.actions)) == ["stop sb-0", "release volumes"]
    assert shown(list(decide(pod(), seen(), memory, NOW).actions)) == ["release volumes"], "nothing is made for it"


def test_the_longest_delay_may_be_chosen() -> None:
    """KEP-4603, crashLoopBackOff.maxContainerRestartPeriod: the first delay is no longer than it, either."""
    memory = Memory(longest_delay=4)
    (start,) = decide(pod(), seen(sandbox(), exited(code=1)), memory, NOW).actions
    assert isinstance(start, StartContainer) and start.back_off == back_off(4)
    memory.back_offs["app"] = start.back_off
    at = NOW + timedelta(seconds=5)
    (start, *_) = decide(pod(), seen(sandbox(), exited(attempt=1, code=1)), memory, at).actions
    assert isinstance(start, StartContainer) and start.back_off == back_off(4, at)


def test_sidecars_end_last_and_in_reverse_order() -> None:
    """KEP-753: all are told at once, for their preStop hooks; each waits for those that began after it."""
    obj = deleted(pod(initContainers=[sidecar("s"), sidecar("t")]))
    plan = decide(obj, seen(sandbox(), running("s"), running("t"), running()), Memory(), NOW)
    order = {a.container.name: a.after for a in plan.actions if isinstance(a, Kill)}
    assert {name: sorted(after) for name, after in order.items()} == {
        "app": [], "t": ["app-0"], "s": ["app-0", "t-0"],
    }  # fmt: skip


def test_a_sidecar_lets_the_next_start_when_it_has_started() -> None:
    obj = pod(initContainers=[{"name": "s", "image": "i", "restartPolicy": "Always"}])
    assert shown(list(decide(obj, seen(sandbox()), Memory(), NOW).actions)) == ["start s 0"]
    starting = Memory(probes={"s-0": Probes("s-0", started=False)})
    assert decide(obj, seen(sandbox(), running("s")), starting, NOW).actions == []
    up = decide(obj, seen(sandbox(), running("s")), Memory(), NOW)
    assert shown(list(up.actions)) == ["start app 0"]


def test_attempts_go_on_from_the_stored_status() -> None:
    stored = {"containerStatuses": [{"name": "app", "restartCount": 4, "containerID": "docker://x"}]}
    assert next_attempt("app", seen(), stored) == 5
    assert next_attempt("app", seen(exited(attempt=7)), stored) == 8


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (160, "2m40s"), (300, "5m0s")])
def test_durations_read_as_upstream_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
