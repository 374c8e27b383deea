"""What of the node's thresholds is met: its pressure conditions, and what eviction is to act upon. Pure.

    state, pressure = step(thresholds, observations, state, transition_seconds, now)

Source: pkg/kubelet/eviction/eviction_manager.go (synchronize) and helpers.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubelet.eviction.thresholds import MEMORY, SIGNALS, Threshold


@dataclass(frozen=True, slots=True)
class Observation:
    available: int
    capacity: int


Observations = Mapping[str, Observation]
"""By signal."""


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered from one look to the next. Times are monotonic."""

    since: Mapping[Threshold, float] = field(default_factory=dict)
    """When a threshold that is met was first seen so."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """When a condition was last seen."""
    acting: tuple[Threshold, ...] = ()
    """Met for their grace period: they stay so until their minimum is reclaimed, too."""


@dataclass(frozen=True, slots=True)
class Pressure:
    conditions: frozenset[str]
    """Seen within the transition period."""
    acting: tuple[Threshold, ...]
    """To be acted upon, the most urgent first."""


def met(thresholds: Iterable[Threshold], observations: Observations, *, reclaimed: bool) -> list[Threshold]:
    """Those that are met. With `reclaimed` their minimum has to be there in addition."""
    found = []
    for threshold in thresholds:
        seen = observations.get(threshold.signal)
        if seen is None:
            continue
        wanted = threshold.amount.of(seen.capacity) + (threshold.reclaim.of(seen.capacity) if reclaimed else 0)
        if seen.available < wanted:
            found.append(threshold)
    return found


def step(
    thresholds: Iterable[Threshold], observations: Observations, state: State, transition: float, now: float
) -> tuple[State, Pressure]:
    all_met = {
        threshold: state.since.get(threshold, now)
        for threshold in (
            *met(thresholds, observations, reclaimed=False),
            *met(state.acting, observations, reclaimed=True),
        )
    }
    seen = {**state.seen, **{SIGNALS[threshold.signal].condition: now for threshold in all_met}}
    conditions = frozenset(name for name, at in seen.items() if at == now or now - at < transition)
    acting = tuple(t for t, since in all_met.items() if now - since >= t.grace)
    urgent = sorted(acting, key=lambda t: SIGNALS[t.signal].condition != MEMORY)
    return State(all_met, {name: seen[name] for name in conditions}, acting), Pressure(conditions, tuple(urgent))
