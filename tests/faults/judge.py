"""What must hold of containers and statuses whoever was killed in between. Pure; each finding is a line."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tests.faults.churn import KINDS
from tests.faults.record import Life

Obj = dict[str, Any]


def doubled(lives: Iterable[Life], *, ends_told: bool = True) -> list[str]:
    """Two containers of one name and attempt, or two of one name that ran at the same time. `ends_told`: Docker told of
    every end; otherwise one that it did not tell of says nothing."""
    found = []
    by_name: dict[tuple[str, str], list[Life]] = defaultdict(list)
    for life in lives:
        if life.started:
            by_name[life.uid, life.name].append(life)
    for (uid, name), group in by_name.items():
        for attempt, count in Counter(life.attempt for life in group).items():
            if count > 1:
                found.append(f"{uid}/{name}: attempt {attempt} was started as {count} containers")
        group.sort(key=lambda life: life.started[0])
        for before, after in itertools.pairwise(group):
            if before.ended[-1] > after.started[0] if before.ended else ends_told:
                found.append(f"{uid}/{name}: attempts {before.attempt} and {after.attempt} ran at once")
    return found


def restarted(lives: Iterable[Life], kinds: Mapping[str, str]) -> list[str]:
    """Containers started again that no rule asks to start again."""
    starts = Counter((life.uid, life.name) for life in lives for _ in life.started)
    found = []
    for (uid, name), count in starts.items():
        kind = kinds.get(uid)
        if kind is not None and count > 1 and name not in KINDS[kind].restarts:
            found.append(f"{uid}/{name} of a {kind} pod was started {count} times")
    return found


def orphaned(containers: Iterable[Obj], pods: Mapping[str, Obj]) -> list[str]:
    """Containers of pods that are no more. `containers` as `docker inspect` shows them."""
    return [f"{one['Name']} is left of a pod that is gone" for one in containers if _label(one, "pod.uid") not in pods]


def untrue(
    pods: Mapping[str, Obj], containers: Iterable[Obj], kinds: Mapping[str, str], exits_survive: bool
) -> list[str]:
    """Statuses that do not tell what there is."""
    there = {one["Id"]: one for one in containers}
    running = Counter(
        (_label(c, "pod.uid"), _label(c, "container.name")) for c in there.values() if c["State"]["Running"]
    )
    found = [f"{uid}/{name} runs {count} times" for (uid, name), count in running.items() if count > 1]
    for uid, pod in pods.items():
        status, where = pod["status"], f"{pod['metadata']['name']} ({uid})"
        ends = KINDS[kinds[uid]].ends
        expected = (ends,) if ends and exits_survive else ("Succeeded", "Failed") if ends else ("Running",)
        if status.get("phase") not in expected:
            found.append(f"{where} is {status.get('phase')}, not {' or '.join(expected)}")
        for told in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
            found += _untrue(where, told, there)
            if "running" not in told["state"] and running[uid, told["name"]]:
                found.append(f"{where}/{told['name']} runs, but is said to be {told['state']}")
    return found


def _untrue(where: str, told: Obj, there: Mapping[str, Obj]) -> list[str]:
    real = there.get(str(told.get("containerID", "")).removeprefix("docker://"))
    if real is None:
        return [f"{where}/{told['name']} names a container that is not there: {told}"]
    state, found = real["State"], []
    if "running" in told["state"] and not state["Running"]:
        found.append(f"{where}/{told['name']} is said to run")
    ended = told["state"].get("terminated")
    if ended is not None and ended["exitCode"] != state["ExitCode"]:
        found.append(f"{where}/{told['name']}: exit code {ended['exitCode']}, not {state['ExitCode']}")
    if told["restartCount"] != int(_label(real, "container.restart-count")):
        found.append(f"{where}/{told['name']}: restart count {told['restartCount']} of {real['Name']}")
    return found


def _label(container: Obj, name: str) -> str:
    return str(container["Config"]["Labels"].get(f"io.kubernetes.{name}", ""))
