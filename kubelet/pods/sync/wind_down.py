"""The end of a pod: its containers are told to go, then its sandbox, then it is finished.

preStop hooks of all run at once. App containers are told first; each sidecar waits for them and for the sidecars that
began after it, while there is grace left. Rules: kuberuntime_termination_order.go (KEP-753),
killContainersWithSyncResult.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from kubelet.pods.model import (
    Container,
    PodContainers,
    grace_period,
    is_sidecar,
    spec_init_containers,
)
from kubelet.pods.sync.plan import Finish, Kill, Memory, Plan, ReleaseVolumes, Remove, StopSandbox


def wind_down(
    pod: Mapping[str, Any],
    observed: PodContainers,
    memory: Memory,
    now: datetime,
    plan: Plan,
    *,
    finish: bool,
) -> Plan:
    """End everything of the pod. `finish`: nothing of it is to stay, not even logs."""
    left = _grace_left(pod, memory, now)
    running = observed.running()
    order = [c["name"] for c in spec_init_containers(pod) if is_sidecar(c)]
    for container in sorted(running, key=lambda c: c.name in order):
        rank = order.index(container.name) if container.name in order else len(order)
        after = tuple(c.id for c in running if rank < (order.index(c.name) if c.name in order else len(order)))
        kill(plan, memory, now, container, left, after=after)
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
    plan.actions.append(ReleaseVolumes())
    return plan


def begin(pod: Mapping[str, Any], memory: Memory, now: datetime) -> None:
    """The pod is to go: its grace runs from now on, unless it runs already and is no longer than before."""
    grace = _grace(pod, memory)
    if memory.stopping_since is None or grace < memory.stopping_grace:
        memory.stopping_since, memory.stopping_grace = now, grace


def _grace(pod: Mapping[str, Any], memory: Memory) -> int:
    """Seconds: its own, or less if whoever ends it says so (pod_workers.go, calculateEffectiveGracePeriod)."""
    grace = grace_period(pod)
    ending = memory.ending
    return grace if ending is None or ending.grace is None else min(grace, max(1, ending.grace))


def _grace_left(pod: Mapping[str, Any], memory: Memory, now: datetime) -> int:
    if memory.stopping_since is None:
        return _grace(pod, memory)
    return max(0, memory.stopping_grace - int((now - memory.stopping_since).total_seconds()))


def kill(
    plan: Plan,
    memory: Memory,
    now: datetime,
    container: Container,
    grace: int,
    message: str = "",
    *,
    hook: bool = True,
    after: tuple[str, ...] = (),
    renew: bool = False,
) -> None:
    """Ask for a kill unless one that ends as early is under way already."""
    due = memory.kills.get(container.id)
    if due is not None and now + timedelta(seconds=grace) >= due - timedelta(seconds=1):
        return
    if not any(isinstance(a, Kill) and a.container.id == container.id for a in plan.actions):
        plan.actions.append(Kill(container, grace, message, hook, after, renew))
