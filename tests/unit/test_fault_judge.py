"""The judge of the fault tests finds what it is there to find."""

from __future__ import annotations

from typing import Any

from tests.faults import judge
from tests.faults.record import Life

KINDS = {"u": "steady", "c": "crashing", "d": "done", "i": "inits"}


def life(attempt: int, *moments: int, uid: str = "u", name: str = "a", id: str = "", code: int = 0) -> Life:
    """`moments`: started, ended (with `code`), started …"""
    codes = [code] * (len(moments) // 2)
    return Life(id or f"{uid}{name}{attempt}", uid, name, attempt, list(moments[::2]), list(moments[1::2]), codes)


def test_two_containers_at_once_or_of_one_attempt_are_doubled() -> None:
    assert judge.doubled([life(0, 1, 5), life(1, 6), life(0, 1, 5, name="b")]) == []
    assert judge.doubled([life(0, 1, 5), life(1, 4)]) == ["u/a: attempts 0 and 1 ran at once"]
    assert judge.doubled([life(0, 1), life(1, 4)]) == ["u/a: attempts 0 and 1 ran at once"]
    assert judge.doubled([life(0, 1), life(1, 4)], ends_told=False) == []
    assert len(judge.doubled([life(0, 1, 5), life(1, 4)], ends_told=False)) == 1
    twice = [life(0, 1, 2, id="x"), life(0, 3, 4, id="y")]
    assert judge.doubled(twice) == ["u/a: attempt 0 was started as 2 containers"]
    assert judge.doubled([life(0, id="never started"), life(0, 1)]) == []


def test_only_what_crashes_may_start_again() -> None:
    assert judge.restarted([life(0, 1, 2, uid="c"), life(1, 3, uid="c"), life(0, 1)], KINDS) == []
    (found,) = judge.restarted([life(0, 10**9, 2 * 10**9, code=1), life(1, 3 * 10**9)], KINDS)
    assert found == (
        "u/a of a steady pod was started 2 times: ua0 #0 started at 1.000, ended with 1 at 2.000; ua1 #1 started at 3.000"
    )
    assert len(judge.restarted([life(0, 1, 2, 3)], KINDS)) == 1


def test_what_nobody_saw_end_may_start_again_if_it_was_to_end() -> None:
    def findings(*lives: Life) -> list[str]:
        return judge.restarted(lives, KINDS, ends_told=False)

    def init(attempt: int, *moments: int, code: int = 0) -> Life:
        return life(attempt, *moments, uid="i", name="j", code=code)

    assert findings(init(0, 1), init(1, 3, 4)) == []
    assert findings(init(0, 1, 2, code=137), init(1, 3, 4)) == []
    assert len(findings(init(0, 1, 2), init(1, 3, 4))) == 1
    assert len(findings(life(0, 1, uid="i"), life(1, 3, uid="i"))) == 1, "an app container is not to end"
    assert len(judge.restarted([init(0, 1), init(1, 3, 4)], KINDS)) == 1, "all ends were told"
    sandboxes = [life(0, 1, 2, name="POD"), life(1, 5, name="POD")]
    assert findings(*sandboxes, life(0, 6)) == []
    assert len(findings(*sandboxes, life(0, 3))) == 1, "the pod had begun"
    assert len(judge.restarted(sandboxes, KINDS)) == 1


def test_processes_that_docker_does_not_know_of_are_strays() -> None:
    lives = [life(0, 1, id="ours"), life(0, 1, name="b", id="running")]
    assert judge.stray({7: "theirs", 8: "running"}, lives, ["running"]) == []
    assert judge.stray({7: "ours"}, lives, ["running"]) == [
        "process 7 of u/a runs without Docker: ours #0 started at 0.000"
    ]


def _inspected(**state: Any) -> dict[str, Any]:
    labels = {"pod.uid": "d", "container.name": "a", "container.restart-count": "0"}
    named = {f"io.kubernetes.{key}": value for key, value in labels.items()}
    return {"Id": "1", "Name": "/k8s_a", "Config": {"Labels": named}, "State": {"Running": False, **state}}


def _pod(phase: str, **told: Any) -> dict[str, Any]:
    container = {"name": "a", "containerID": "docker://1", "restartCount": 0, **told}
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": [container]}}


def test_a_status_must_tell_what_there_is() -> None:
    ended = {"state": {"terminated": {"exitCode": 0}}}
    real = [_inspected(ExitCode=0)]

    def findings(pod: dict[str, Any], containers: list[dict[str, Any]], *, exits: bool = True) -> list[str]:
        return judge.untrue({"d": pod}, containers, KINDS, exits)

    assert findings(_pod("Succeeded", **ended), real) == []
    assert findings(_pod("Running", **ended), real) == ["p (d) is Running, not Succeeded"]
    assert findings(_pod("Failed", **ended), real, exits=False) == []
    assert len(findings(_pod("Succeeded", **ended), [_inspected(ExitCode=1)])) == 1
    assert findings(_pod("Succeeded", **ended), [_inspected(ExitCode=1)], exits=False) == []
    assert len(findings(_pod("Succeeded", state={"running": {}}), real)) == 1
    assert len(findings(_pod("Succeeded", **{**ended, "restartCount": 1}), real)) == 1
    assert len(findings(_pod("Succeeded", **ended), [])) == 1
    assert len(findings(_pod("Succeeded", **ended), [_inspected(Running=True, ExitCode=0)])) == 1


def test_containers_of_pods_that_are_gone_are_orphans() -> None:
    assert judge.orphaned([_inspected()], {"d": {}}) == []
    assert judge.orphaned([_inspected()], {}) == ["/k8s_a is left of a pod that is gone"]
