"""What must hold of containers and statuses whoever was killed in between. Pure; each finding is a line."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tests.faults.churn import KINDS
from tests.faults.record import Life

Obj = dict[str, Any]
SANDBOX = "POD"


def doubled(lives: Iterable[Life], *, ends_told: bool = True) -> list[str]:
    """Two containers of one name and attempt, or two of one name that ran at the same time. `ends_told`: Docker told of
    every end; otherwise one that it did not tell of says nothing."""
    found = []
    for (uid, name), group in _started(lives).items():
        for attempt, count in Counter(life.attempt for life in group).items():
            if count > 1:
                found.append(f"{uid}/{name}: attempt {attempt} was started as {count} containers")
        for before, after in itertools.pairwise(group):
            if before.ended[-1] > after.started[0] if before.ended else ends_told:
                found.append(f"{uid}/{name}: attempts {before.attempt} and {after.attempt} ran at once")
    return found


def restarted(lives: Iterable[Life], kinds: Mapping[str, str], *, ends_told: bool = True) -> list[str]:
    """Containers started again that no rule asks to start again, each with its story. Where Docker did not tell of
    every end, what is to run until it ends well is rightly run again unless it was seen to, and a sandbox whose making
    was cut short is made again, if nothing has begun in it."""
    found, by_name = [], _started(lives)
    for (uid, name), group in by_name.items():
        kind = kinds.get(uid)
        if kind is None or name in KINDS[kind].restarts:
            continue
        starts, done = sum(len(life.started) for life in group), any(0 in life.codes for life in group[:-1])
        if name == SANDBOX and not ends_told:
            begun = [life[0].started[0] for (other, what), life in by_name.items() if other == uid and what != SANDBOX]
            if all(moment > group[-1].started[0] for moment in begun):
                continue
        if starts > 1 and (ends_told or done or name not in KINDS[kind].until_done):
            story = "; ".join(map(str, group))
            found.append(f"{uid}/{name} of a {kind} pod was started {starts} times: {story}")
    return found


def _started(lives: Iterable[Life]) -> dict[tuple[str, str], list[Life]]:
    """uid and name → the lives that began, the oldest first."""
    found: dict[tuple[str, str], list[Life]] = defaultdict(list)
    for life in sorted((life for life in lives if life.started), key=lambda life: life.started[0]):
        found[life.uid, life.name].append(life)
    return found


def orphaned(containers: Iterable[Obj], pods: Mapping[str, Obj]) -> list[str]:
    """Containers of pods that are no more. `containers` as `docker inspect` shows them."""
    return [f"{one['Name']} is left of a pod that is gone" for one in containers if _label(one, "pod.uid") not in pods]


def stray(processes: Mapping[int, str], lives: Iterable[Life], running: Iterable[str]) -> list[str]:
    """Processes of containers that Docker does not know to run. `processes`: pid → the id of its container;
    `running`: the ids that run, for Docker."""
    ours, known = {life.id: life for life in lives}, set(running)
    return [
        f"process {pid} of {ours[id].uid}/{ours[id].name} runs without Docker: {ours[id]}"
        for pid, id in processes.items()
        if id in ours and id not in known
    ]


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
            found += _untrue(where, told, there, exits_survive)
            if "running" not in told["state"] and running[uid, told["name"]]:
                found.append(f"{where}/{told['name']} runs, but is said to be {told['state']}")
    return found


def _untrue(where: str, told: Obj, there: Mapping[str, Obj], exits_survive: bool) -> list[str]:
    """Where Docker may have lost an exit code that it had told, the status may know better."""
    real = there.get(str(told.get("containerID", "")).removeprefix("docker://"))
    if real is None:
        return [f"{where}/{told['name']} names a container that is not there: {told}"]
    state, found = real["State"], []
    if "running" in told["state"] and not state["Running"]:
        found.append(f"{where}/{told['name']} is said to run")
    ended = told["state"].get("terminated")
    if exits_survive and ended is not None and ended["exitCode"] != state["ExitCode"]:
        found.append(f"{where}/{told['name']}: exit code {ended['exitCode']}, not {state['ExitCode']}")
    if told["restartCount"] != int(_label(real, "container.restart-count")):
        found.append(f"{where}/{told['name']}: restart count {told['restartCount']} of {real['Name']}")
    return found


def _label(container: Obj, name: str) -> str:
    return str(container["Config"]["Labels"].get(f"io.kubernetes.{name}", ""))
