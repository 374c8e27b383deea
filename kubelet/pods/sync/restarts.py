"""Whether and when a container is started again: restart policies and rules, crash-loop back-off, attempts.

Rules: kuberuntime_manager.go doBackOff, the Backoff of client-go's flowcontrol, pkg/api/v1/pod ContainerShouldRestart
(KEP-5307), KEP-753 for sidecars.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from kubelet.pods.model import (
    BackOff,
    Container,
    PodContainers,
    back_off_key,
    is_ephemeral,
    is_init,
    restart_policy,
    spec_hash,
)
from kubelet.pods.sync.plan import Memory, Plan, Remove, StartContainer

FIRST_DELAY = 10.0
LOST = 137
"""The exit code of a container that ran and is not to be found."""
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


def restarts(pod: Mapping[str, Any], container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether the container is to run again after it has ended with that code."""
    if is_ephemeral(pod, container["name"]):
        return False
    if is_init(pod, container["name"]) and container.get("restartPolicy") != "Always" and exit_code == 0:
        return False
    if any(_matches(rule, exit_code) for rule in container.get("restartPolicyRules") or []):
        return True
    policy = container.get("restartPolicy") or restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restarts_when_killed(pod: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    """After a failed probe the rules on exit codes do not count: the container still ran."""
    return (container.get("restartPolicy") or restart_policy(pod)) != "Never"


def _matches(rule: Mapping[str, Any], exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    return (exit_code in (codes.get("values") or [])) == (codes.get("operator") == "In")


def ended_with(pod: Mapping[str, Any], observed: PodContainers, name: str) -> int | None:
    """The exit code of the container's last run. None when it has not run yet, or runs.

    A container that Docker does not have any more has ended as the stored status says; if it ran by that, it is lost.
    """
    latest = observed.latest(name)
    if latest is not None and latest.state == "created":
        latest = observed.previous(name)
    if latest is not None:
        return latest.exit_code or int(latest.start_failed) if latest.exited else None
    told = _told(pod.get("status") or {}, name)
    state = told.get("state") or {}
    ended = state.get("terminated") or (told.get("lastState") or {}).get("terminated")
    if ended and "running" not in state:
        return int(ended.get("exitCode") or 0)
    return LOST if told.get("containerID") else None


def _told(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for field_name in _STATUSES:
        for told in status.get(field_name) or []:
            if told["name"] == name:
                return dict(told)
    return {}


def next_attempt(name: str, observed: PodContainers, status: Mapping[str, Any]) -> int:
    """One more than any attempt seen on the node or told in the stored status."""
    latest = observed.latest(name)
    attempt = -1 if latest is None else latest.attempt
    told = _told(status, name)
    if told.get("containerID"):
        attempt = max(attempt, int(told.get("restartCount") or 0))
    return attempt + 1


def consider(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
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
    if (latest is not None and latest.running) or plan.starts(name):
        return
    attempt = next_attempt(name, observed, pod.get("status") or {})
    if latest is not None and latest.state == "created":
        # Made, never started: whoever made it is gone. Its mounts may be stale, so it is made anew.
        plan.actions.append(Remove(latest))
        attempt = latest.attempt
        latest = observed.previous(name)
    code = ended_with(pod, observed, name)
    if code is not None and not again and not memory.renews(latest) and not restarts(pod, container, code):
        return
    failure = memory.failures.get(name)
    if failure is not None and now < failure.retry_at and failure.spec_hash == spec_hash(container):
        plan.wake(failure.retry_at)
        return
    back_off: BackOff | None = None
    if latest is not None and latest.sandbox_id == sandbox.id:
        back_off, until = _back_off(container, latest, observed.before(latest), memory, now)
        if until is not None and now < until:
            plan.waiting[name] = back_off_message((until - (latest.finished_at or now)).total_seconds(), name, pod)
            plan.wake(until)
            return
    plan.actions.append(StartContainer(name, attempt, back_off))


def _back_off(
    spec: Mapping[str, Any], latest: Container, before: Container | None, memory: Memory, now: datetime
) -> tuple[BackOff | None, datetime | None]:
    """What is to be remembered once the container is started, and the moment until which it is not.

    The delay runs from the end of the container. One that was killed to be renewed is started in the same step, as
    upstream does it, unless it was killed within the delay after the end of the one `before`."""
    key, longest = back_off_key(spec), memory.longest_delay
    known = memory.back_offs.get(spec["name"])
    if known is not None and known.of != key:
        known = None
    ended = latest.finished_at or now
    if memory.renews(latest):
        if before is None:
            return known, None
        since = before.finished_at or now
        until = _held_until(known, since, longest)
        if until is None or ended >= until:
            return _next(known, key, since, now, longest), None
    return _next(known, key, ended, now, longest), _held_until(known, ended, longest)


def changed(spec: Mapping[str, Any] | None, container: Container) -> bool:
    return spec is not None and bool(container.spec_hash) and container.spec_hash != spec_hash(spec)


def _held_until(back_off: BackOff | None, ended: datetime, longest: float) -> datetime | None:
    if back_off is None or _is_forgotten(back_off, ended, longest):
        return None
    return ended + timedelta(seconds=back_off.delay)


def _next(back_off: BackOff | None, key: str, ended: datetime, now: datetime, longest: float) -> BackOff:
    if back_off is None or _is_forgotten(back_off, ended, longest):
        return BackOff(min(FIRST_DELAY, longest), now, key)
    return BackOff(min(back_off.delay * 2, longest), now, key)


def _is_forgotten(back_off: BackOff, ended: datetime, longest: float) -> bool:
    """It ran well for twice the longest delay."""
    return (ended - back_off.updated).total_seconds() > 2 * longest


def back_off_message(delay: float, name: str, pod: Mapping[str, Any]) -> str:
    meta = pod["metadata"]
    where = f"{meta['name']}_{meta.get('namespace', '')}({meta.get('uid', '')})"
    return f"back-off {go_duration(delay)} restarting failed container={name} pod={where}"


def go_duration(seconds: float) -> str:
    """Whole seconds as Go prints a Duration: `10s`, `2m40s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
