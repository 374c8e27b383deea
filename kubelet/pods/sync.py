"""The decision at the heart of the kubelet, as a pure function.

    decide(pod, observed, memory, now) -> Plan

`pod` is the stored object, `observed` what Docker runs for it, `memory` what the worker remembers between
calls (back-offs, failed tries, probe results, kills under way). The plan is a list of actions to carry out
in order, and the moment to ask again if nothing happens before. Deciding twice on the same input gives the
same plan; a plan carried out only in part is made up for by the next one.

It promises, whatever the order of observations:
  * never two containers of one name and attempt,
  * never a container started for a pod that is being deleted or is finished,
  * init containers one after the other, all done before the first app container starts,
  * an ephemeral container started once, in whatever state the others are (KEP-277),
  * a dead sandbox takes its pod's containers with it before a new one is made.

Rules: kuberuntime_manager.go computePodActions, doBackOff; the crash-loop back-off of client-go's flowcontrol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from api.meta import Obj, is_deleting, parse_time
from kubelet.pods.model import (
    BackOff,
    Container,
    Failure,
    PodContainers,
    Probes,
    every_container,
    find_container,
    grace_period,
    is_sidecar,
    is_terminal,
    restart_policy,
    spec_containers,
    spec_ephemeral_containers,
    spec_hash,
    spec_init_containers,
)

FIRST_DELAY = 10.0
LONGEST_DELAY = 300.0
RESET_AFTER = 2 * LONGEST_DELAY


@dataclass(frozen=True, slots=True)
class MakeSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Make and start `name` in the live sandbox. `back_off` is to be remembered once it is carried out."""

    name: str
    attempt: int
    back_off: BackOff | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop a running container: preStop hook, SIGTERM, SIGKILL after `grace` seconds. Not waited for."""

    container: Container
    grace: int
    message: str = ""
    hook: bool = True


@dataclass(frozen=True, slots=True)
class StopSandbox:
    container: Container


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that does not run."""

    container: Container


@dataclass(frozen=True, slots=True)
class Finish:
    """No container of the pod runs: report its last state, remove all with the sandbox, delete the object."""


Action = MakeSandbox | StartContainer | Kill | StopSandbox | Remove | Finish


@dataclass(slots=True)
class Memory:
    """What a worker remembers of its pod. All of it may be lost without breaking a promise."""

    back_offs: dict[str, BackOff] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    probes: dict[str, Probes] = field(default_factory=dict)
    """By container id."""
    kills: dict[str, datetime] = field(default_factory=dict)
    """Containers being stopped, by id: the moment SIGKILL is due."""
    sandbox_failure: Failure | None = None
    stopping_since: datetime | None = None
    """When this worker first saw the pod deleted or finished: its grace counts from there."""


@dataclass(slots=True)
class Plan:
    actions: list[Action] = field(default_factory=list)
    wake_at: datetime | None = None
    waiting: dict[str, str] = field(default_factory=dict)
    """Containers held back by crash-loop back-off: name → message."""
    phase: str = ""
    """Set when this decision makes the pod terminal: `Failed`, with `reason` and `message`."""
    reason: str = ""
    message: str = ""

    def wake(self, at: datetime) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at


def decide(pod: Mapping[str, Any], observed: PodContainers, memory: Memory, now: datetime) -> Plan:
    plan = Plan()
    status: Obj = pod.get("status") or {}
    if is_deleting(pod):
        return _wind_down(pod, observed, memory, now, plan, finish=True)
    if is_terminal(pod):
        return _wind_down(pod, observed, memory, now, plan, finish=False)
    if _past_deadline(pod, status, now, plan):
        plan.phase, plan.reason = "Failed", "DeadlineExceeded"
        plan.message = "Pod was active on the node longer than the specified deadline"
        return _wind_down(pod, observed, memory, now, plan, finish=False)
    sandbox = observed.live_sandbox
    if sandbox is None:
        return _new_sandbox(pod, observed, memory, now, plan)
    _kill_strays(pod, observed, sandbox, memory, plan, now)
    _kill_by_probes(pod, observed, memory, plan, now)
    if finished(pod, observed, sandbox):
        return _wind_down(pod, observed, memory, now, plan, finish=False)
    if _started_any(pod, observed, sandbox) or _run_init_containers(pod, observed, sandbox, memory, now, plan):
        for container in [c for c in spec_init_containers(pod) if is_sidecar(c)]:
            _consider(pod, container, "Always", observed, sandbox, memory, now, plan)
        for container in spec_containers(pod):
            policy = restart_policy(pod)
            _consider(pod, container, policy, observed, sandbox, memory, now, plan)
    for container in spec_ephemeral_containers(pod):
        if observed.latest(container["name"]) is not None or not _ran_before(pod, container["name"]):
            _consider(pod, container, "Never", observed, sandbox, memory, now, plan)
    _prune(observed, sandbox, plan)
    return plan


def finished(pod: Mapping[str, Any], observed: PodContainers, sandbox: Container | None) -> bool:
    """No container runs and none is to be started again: the pod is Succeeded or Failed."""
    policy = restart_policy(pod)
    if policy == "Always":
        return False
    for container in spec_init_containers(pod):
        if is_sidecar(container):
            continue
        latest = observed.latest(container["name"])
        if latest is not None and latest.exited and latest.exit_code != 0 and policy == "Never":
            return True
    for container in spec_containers(pod):
        latest = observed.latest(container["name"])
        if latest is None or not latest.exited:
            return False
        if latest.exit_code != 0 and policy == "OnFailure":
            return False
    return True


def _ran_before(pod: Mapping[str, Any], name: str) -> bool:
    """The status tells of an ephemeral container that Docker no longer has: it is never started again."""
    told = (pod.get("status") or {}).get("ephemeralContainerStatuses") or []
    return any(c["name"] == name and c.get("containerID") for c in told)


def next_attempt(name: str, observed: PodContainers, status: Mapping[str, Any]) -> int:
    """One more than any attempt seen on the node or told in the stored status."""
    latest = observed.latest(name)
    attempt = -1 if latest is None else latest.attempt
    for field_name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for told in status.get(field_name) or []:
            if told["name"] == name and told.get("containerID"):
                attempt = max(attempt, int(told.get("restartCount") or 0))
    return attempt + 1


def _past_deadline(pod: Mapping[str, Any], status: Mapping[str, Any], now: datetime, plan: Plan) -> bool:
    seconds, since = pod["spec"].get("activeDeadlineSeconds"), status.get("startTime")
    if seconds is None or not since:
        return False
    deadline = parse_time(since) + timedelta(seconds=int(seconds))
    if now < deadline:
        plan.wake(deadline)
    return now >= deadline


def _new_sandbox(pod: Mapping[str, Any], observed: PodContainers, memory: Memory, now: datetime, plan: Plan) -> Plan:
    """The pod has no live sandbox: end what ran in the old one, then make the next."""
    running = observed.running()
    if running:
        for container in running:
            _kill(plan, memory, now, container, 0, hook=False)
        return plan
    if observed.sandbox is not None and finished(pod, observed, None):
        return plan
    if memory.sandbox_failure is not None and now < memory.sandbox_failure.retry_at:
        plan.wake(memory.sandbox_failure.retry_at)
        return plan
    for sandbox in observed.sandboxes:
        if sandbox.running:
            plan.actions.append(StopSandbox(sandbox))
        plan.actions.append(Remove(sandbox))
    for container in observed.all():
        if container.state == "created":
            plan.actions.append(Remove(container))
    newest = observed.sandbox
    plan.actions.append(MakeSandbox(0 if newest is None else newest.attempt + 1))
    return plan


def _kill_strays(
    pod: Mapping[str, Any],
    observed: PodContainers,
    sandbox: Container,
    memory: Memory,
    plan: Plan,
    now: datetime,
) -> None:
    """Containers that hang on a dead sandbox, or of a name the spec does not have."""
    known = {c["name"] for c in every_container(pod)}
    for container in observed.running():
        if container.sandbox_id and container.sandbox_id != sandbox.id:
            _kill(plan, memory, now, container, 0, hook=False)
        elif container.name not in known:
            _kill(plan, memory, now, container, grace_period(pod))


def _kill_by_probes(pod: Mapping[str, Any], observed: PodContainers, memory: Memory, plan: Plan, now: datetime) -> None:
    """Containers whose liveness or startup probe or postStart hook gave up, or whose image was changed."""
    for container in observed.running():
        probes = memory.probes.get(container.id)
        if probes is not None and probes.failed:
            grace = grace_period(pod) if probes.grace is None else probes.grace
            text = (
                "FailedPostStartHook"
                if probes.failed == "postStart"
                else f"Container {container.name} failed {probes.failed} probe, will be restarted"
            )
            _kill(plan, memory, now, container, grace, text)
        elif _changed(find_container(pod, container.name), container):
            text = f"Container {container.name} definition changed, will be restarted"
            _kill(plan, memory, now, container, grace_period(pod), text)


def _changed(spec: Mapping[str, Any] | None, container: Container) -> bool:
    return spec is not None and bool(container.spec_hash) and container.spec_hash != spec_hash(spec)


def _started_any(pod: Mapping[str, Any], observed: PodContainers, sandbox: Container) -> bool:
    """Some app container was started in this sandbox, so its init containers were done with before."""
    return any(
        c.sandbox_id == sandbox.id and c.state != "created"
        for spec in spec_containers(pod)
        for c in observed.containers.get(spec["name"], [])
    )


def _run_init_containers(
    pod: Mapping[str, Any],
    observed: PodContainers,
    sandbox: Container,
    memory: Memory,
    now: datetime,
    plan: Plan,
) -> bool:
    """Start the next init container, if any. True when all are through."""
    for container in spec_init_containers(pod):
        latest = observed.latest(container["name"])
        here = latest if latest is not None and latest.sandbox_id == sandbox.id else None
        if is_sidecar(container):
            _consider(pod, container, "Always", observed, sandbox, memory, now, plan)
            if here is None or not here.running:
                return False
            probes = memory.probes.get(here.id)
            if probes is not None and not probes.started:
                return False
            continue
        if here is not None and here.exited and here.exit_code == 0 and not here.start_failed:
            continue
        policy = "Never" if restart_policy(pod) == "Never" else "OnFailure"
        _consider(pod, container, policy, observed, sandbox, memory, now, plan, again=here is None)
        return False
    return True


def _consider(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    policy: str,
    observed: PodContainers,
    sandbox: Container,
    memory: Memory,
    now: datetime,
    plan: Plan,
    *,
    again: bool = False,
) -> None:
    """Start one container if it does not run and its policy, its back-off and its last failure allow.

    `again`: however it ended in an earlier sandbox, it is due in this one.
    """
    name = container["name"]
    latest = observed.latest(name)
    if latest is not None and latest.running:
        return
    if any(isinstance(a, StartContainer) and a.name == name for a in plan.actions):
        return
    failure = memory.failures.get(name)
    attempt = next_attempt(name, observed, pod.get("status") or {})
    if latest is not None and latest.state == "created":
        # Made, never started: whoever made it is gone. Its mounts may be stale, so it is made anew.
        plan.actions.append(Remove(latest))
        attempt = latest.attempt
        latest = observed.previous(name)
    changed = latest is not None and _changed(container, latest)
    if latest is not None and not again and not changed and not _restarts(policy, latest):
        return
    if failure is not None and now < failure.retry_at:
        plan.wake(failure.retry_at)
        return
    back_off: BackOff | None = memory.back_offs.get(name)
    if latest is not None and latest.sandbox_id == sandbox.id and not changed:
        ended = latest.finished_at or now
        until = _held_until(back_off, ended)
        if until is not None and now < until and back_off is not None:
            plan.waiting[name] = back_off_message(back_off.delay, name, pod)
            plan.wake(until)
            return
        back_off = _next(back_off, ended, now)
    plan.actions.append(StartContainer(name, attempt, back_off))


def _restarts(policy: str, ended: Container) -> bool:
    if policy == "Always":
        return True
    return policy == "OnFailure" and (ended.exit_code != 0 or ended.start_failed)


def _held_until(back_off: BackOff | None, ended: datetime) -> datetime | None:
    if back_off is None or (ended - back_off.updated).total_seconds() > RESET_AFTER:
        return None
    return ended + timedelta(seconds=back_off.delay)


def _next(back_off: BackOff | None, ended: datetime, now: datetime) -> BackOff:
    if back_off is None or (ended - back_off.updated).total_seconds() > RESET_AFTER:
        return BackOff(FIRST_DELAY, now)
    return BackOff(min(back_off.delay * 2, LONGEST_DELAY), now)


def back_off_message(delay: float, name: str, pod: Mapping[str, Any]) -> str:
    meta = pod["metadata"]
    where = f"{meta['name']}_{meta.get('namespace', '')}({meta.get('uid', '')})"
    return f"back-off {go_duration(delay)} restarting failed container={name} pod={where}"


def go_duration(seconds: float) -> str:
    """Whole seconds as Go prints a Duration: `10s`, `2m40s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _wind_down(
    pod: Mapping[str, Any],
    observed: PodContainers,
    memory: Memory,
    now: datetime,
    plan: Plan,
    *,
    finish: bool,
) -> Plan:
    """End everything of the pod. App containers first, then sidecars, then the sandbox."""
    grace = grace_period(pod)
    since = memory.stopping_since or now
    left = max(0, grace - int((now - since).total_seconds())) if grace else 0
    sidecars = {c["name"] for c in spec_init_containers(pod) if is_sidecar(c)}
    running = observed.running()
    mains = [c for c in running if c.name not in sidecars]
    for container in mains or running:
        _kill(plan, memory, now, container, left)
    if running:
        return plan
    if finish:
        plan.actions.append(Finish())
        return plan
    for sandbox in observed.sandboxes:
        if sandbox.running:
            plan.actions.append(StopSandbox(sandbox))
    for container in observed.all():
        if container.state == "created":
            plan.actions.append(Remove(container))
    return plan


def _kill(
    plan: Plan,
    memory: Memory,
    now: datetime,
    container: Container,
    grace: int,
    message: str = "",
    *,
    hook: bool = True,
) -> None:
    """Ask for a kill unless one that ends as early is under way already."""
    due = memory.kills.get(container.id)
    if due is not None and now + timedelta(seconds=grace) >= due - timedelta(seconds=1):
        return
    if not any(isinstance(a, Kill) and a.container.id == container.id for a in plan.actions):
        plan.actions.append(Kill(container, grace, message, hook))


def _prune(observed: PodContainers, sandbox: Container, plan: Plan) -> None:
    """Keep the newest container of each name and the exited one before it (for `logs --previous`)."""
    restarted = {a.name for a in plan.actions if isinstance(a, StartContainer)}
    gone = {a.container.id for a in plan.actions if isinstance(a, Remove)}
    for name, group in observed.containers.items():
        keep = 1 if name in restarted else 2
        for old in group[keep:]:
            if not old.running and old.id not in gone:
                plan.actions.append(Remove(old))
    for old in observed.sandboxes[1:]:
        if old.id != sandbox.id and not old.running and old.id not in gone:
            plan.actions.append(Remove(old))
