"""In which order pods go when the node shuts down, and how much time each gets. Pure.

Source: pkg/kubelet/nodeshutdown/nodeshutdown_manager.go (migrateConfig, groupByPriority).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from api.meta import Obj
from kubelet.configuration import Configuration
from kubelet.pods.critical import SYSTEM_CRITICAL_PRIORITY, priority


@dataclass(frozen=True, slots=True)
class Period:
    """Pods from this priority on, up to the next, get so many seconds."""

    priority: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Group:
    period: Period
    pods: list[Obj] = field(default_factory=list)


def periods(configuration: Configuration) -> tuple[Period, ...]:
    """From the lowest priority up. None: the node shuts down without waiting for anything."""
    if configuration.shutdown_by_priority:
        given = (Period(p["priority"], p["shutdownGracePeriodSeconds"]) for p in configuration.shutdown_by_priority)
        return tuple(sorted(given, key=lambda period: period.priority))
    total, critical = int(configuration.shutdown_seconds), int(configuration.shutdown_critical_seconds)
    if not total:
        return ()
    return (Period(0, total - critical), Period(SYSTEM_CRITICAL_PRIORITY, critical))


def groups(of: Sequence[Period], pods: Iterable[Obj]) -> list[Group]:
    """In the order in which they end, without those that have no pods. Pods below the lowest priority belong to it."""
    made = [Group(period) for period in of]
    for pod in pods:
        below = [group for group in made if group.period.priority <= priority(pod)]
        (below[-1] if below else made[0]).pods.append(pod)
    return [group for group in made if group.pods]


def grace(period: Period, pod: Obj) -> int:
    own = pod["spec"].get("terminationGracePeriodSeconds")
    return period.seconds if own is None else min(int(own), period.seconds)
