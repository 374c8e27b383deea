"""The judge of the fault tests finds what it is there to find."""

from __future__ import annotations

from typing import Any

from tests.faults import judge
from tests.faults.record import Life

KINDS = {"u": "steady", "c": "crashing", "d": "done"}


def life(attempt: int, *moments: int, uid: str = "u", name: str = "a", id: str = "") -> Life:
    """`moments`: started, ended, started …"""
    return Life(id or f"{uid}{name}{attempt}", uid, name, attempt, list(moments[::2]), list(moments[1::2]))


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
    assert judge.restarted([life(0, 1, 2), life(1, 3)], KINDS) == ["u/a of a steady pod was started 2 times"]
    assert judge.restarted([life(0, 1, 2, 3)], KINDS) == ["u/a of a steady pod was started 2 times"]


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
    assert len(findings(_pod("Succeeded", state={"running": {}}), real)) == 1
    assert len(findings(_pod("Succeeded", **{**ended, "restartCount": 1}), real)) == 1
    assert len(findings(_pod("Succeeded", **ended), [])) == 1
    assert len(findings(_pod("Succeeded", **ended), [_inspected(Running=True, ExitCode=0)])) == 1


def test_containers_of_pods_that_are_gone_are_orphans() -> None:
    assert judge.orphaned([_inspected()], {"d": {}}) == []
    assert judge.orphaned([_inspected()], {}) == ["/k8s_a is left of a pod that is gone"]
