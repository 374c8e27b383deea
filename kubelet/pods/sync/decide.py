"""The decision at the heart of the kubelet, as a pure function.

    decide(pod, observed, memory, now) -> Plan

`pod` is the stored object, `observed` what Docker runs for it, `memory` what the worker remembers between
calls (back-offs, failed tries, probe results, kills under way). The plan is a list of actions to carry out
in order, and the moment to ask again if nothing happens before. Deciding twice on the same input gives the
same plan; a plan carried out only in part is made up for by the next one.

It promises, whatever the order of observations:
  * never two containers of one name and attempt,
  * never a container started for a pod that is being deleted, was ended or is finished,
  * init containers one after the other, all done before the first app container starts,
  * an ephemeral container started once, in whatever state the others are (KEP-277),
  * a dead sandbox takes its pod's containers with it before a new one is made.

Rules: kuberuntime_manager.go computePodActions; kubelet_pods.go for what ends a pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api.meta import is_deleting, parse_time
from kubelet.pods import resize_plan
from kubelet.pods.model import (
    Container,
    Ending,
    PodContainers,
    every_container,
    find_container,
    grace_period,
    is_init,
    is_sidecar,
    is_terminal,
    spec_containers,
    spec_ephemeral_containers,
    spec_init_containers,
)
from kubelet.pods.qos import docker_resources
from kubelet.pods.sync.init_containers import initialize
from kubelet.pods.sync.plan import MakeSandbox, Memory, Plan, Remove, StartContainer, StopSandbox, Update
from kubelet.pods.sync.restarts import changed, consider, ended_with, restarts, restarts_when_killed
from kubelet.pods.sync.wind_down import kill, wind_down

_DEADLINE = Ending("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


def decide(pod: Mapping[str, Any], observed: PodContainers, memory: Memory, now: datetime) -> Plan:
    plan = Plan()
    if is_deleting(pod):
        return wind_down(pod, observed, memory, now, plan, finish=True)
    if is_terminal(pod) or memory.ending is not None:
        return wind_down(pod, observed, memory, now, plan, finish=False)
    if _past_deadline(pod, now, plan):
        plan.ending = _DEADLINE
        return wind_down(pod, observed, memory, now, plan, finish=False)
    sandbox = observed.live_sandbox
    if sandbox is None:
        return _new_sandbox(pod, observed, memory, now, plan)
    _kill_strays(pod, observed, sandbox, memory, plan, now)
    _kill_unfit(pod, observed, memory, plan, now)
    _resize(pod, observed, memory, plan, now)
    if finished(pod, observed, memory):
        return wind_down(pod, observed, memory, now, plan, finish=False)
    for container in spec_ephemeral_containers(pod):
        consider(pod, container, observed, sandbox, memory, now, plan)
    due, done = initialize(pod, observed, sandbox, memory)
    for container in due:
        latest = observed.latest(container["name"])
        anew = latest is None or latest.sandbox_id != sandbox.id
        consider(pod, container, observed, sandbox, memory, now, plan, again=anew)
    if done:
        for container in spec_containers(pod):
            consider(pod, container, observed, sandbox, memory, now, plan)
    _prune(observed, sandbox, plan)
    return plan


def finished(pod: Mapping[str, Any], observed: PodContainers, memory: Memory) -> bool:
    """No app container runs and none is to be started again, or the pod cannot be initialized any more."""
    for container in spec_init_containers(pod):
        code = ended_with(pod, observed, container["name"])
        if not is_sidecar(container) and code and not restarts(pod, container, code):
            return True
    for container in spec_containers(pod):
        code = ended_with(pod, observed, container["name"])
        if code is None or restarts(pod, container, code) or memory.renews(observed.latest(container["name"])):
            return False
    return True


def _past_deadline(pod: Mapping[str, Any], now: datetime, plan: Plan) -> bool:
    seconds, since = pod["spec"].get("activeDeadlineSeconds"), (pod.get("status") or {}).get("startTime")
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
            kill(plan, memory, now, container, 0, hook=False)
        return plan
    if finished(pod, observed, memory):
        return wind_down(pod, observed, memory, now, plan, finish=False)
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
            kill(plan, memory, now, container, 0, hook=False)
        elif container.name not in known:
            kill(plan, memory, now, container, grace_period(pod))


def _kill_unfit(pod: Mapping[str, Any], observed: PodContainers, memory: Memory, plan: Plan, now: datetime) -> None:
    """Containers whose liveness or startup probe gave up, or whose image was changed, save init containers that are to
    end by themselves."""
    for container in observed.running():
        probes = memory.probes.get(container.id)
        spec = find_container(pod, container.name)
        if probes is not None and probes.failed:
            grace = grace_period(pod) if probes.grace is None else probes.grace
            renew = spec is not None and restarts_when_killed(pod, spec)
            kill(plan, memory, now, container, grace, _why(pod, container, probes.failed, renew), renew=renew)
        elif changed(spec, container) and (not is_init(pod, container.name) or is_sidecar(spec or {})):
            text = f"Container {container.name} definition changed, will be restarted"
            if is_init(pod, container.name):
                text = f"Init container {container.name} definition changed"
            kill(plan, memory, now, container, grace_period(pod), text, renew=True)


def _resize(pod: Mapping[str, Any], observed: PodContainers, memory: Memory, plan: Plan, now: datetime) -> None:
    """What was granted reaches the containers that run, in place or by a new start (KEP-1287)."""
    for spec in resize_plan.resizable(pod):
        container, retry_at = observed.latest(spec["name"]), memory.resize.retry_at
        if container is None or not container.running or container.id in memory.kills:
            continue
        if resize_plan.needs_restart(spec, container):
            text = f"Container {container.name} resize requires restart"
            kill(plan, memory, now, container, grace_period(pod), text, renew=True)
        elif resize_plan.unmet(spec, container) and retry_at is not None and now < retry_at:
            plan.wake(retry_at)
        elif resize_plan.unmet(spec, container):
            plan.actions.append(Update(container, docker_resources(spec)))


def _why(pod: Mapping[str, Any], container: Container, failed: str, renew: bool) -> str:
    if is_init(pod, container.name):
        return f"Init container {container.name} failed {failed} probe"
    ending = ", will be restarted" if renew else ""
    return f"Container {container.name} failed {failed} probe{ending}"


def _prune(observed: PodContainers, sandbox: Container, plan: Plan) -> None:
    """Keep the newest container of each name and the exited one before it (for `logs --previous`)."""
    restarted = {a.name for a in plan.actions if isinstance(a, StartContainer)}
    gone = {a.container.id for a in plan.actions if isinstance(a, Remove)}
    for name, group in observed.containers.items():
        keep = 1 if name in restarted else 2
        for old in [container for container in group if container.id not in gone][keep:]:
            if not old.running:
                plan.actions.append(Remove(old))
    for old in observed.sandboxes[1:]:
        if old.id != sandbox.id and not old.running and old.id not in gone:
            plan.actions.append(Remove(old))
