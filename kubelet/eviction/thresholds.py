"""Eviction signals and the thresholds that a node's configuration sets for them. Pure.

Source: pkg/kubelet/eviction/helpers.go (ParseThresholdConfig), pkg/kubelet/eviction/api/types.go,
https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api import quantities
from client.daemon import duration

MEMORY, DISK, PID = "MemoryPressure", "DiskPressure", "PIDPressure"


@dataclass(frozen=True, slots=True)
class Signal:
    condition: str
    """Of the node, while a threshold for this signal is met."""
    resource: str
    """What is scarce then, in messages."""


SIGNALS: Mapping[str, Signal] = {
    "memory.available": Signal(MEMORY, "memory"),
    "allocatableMemory.available": Signal(MEMORY, "memory"),
    "nodefs.available": Signal(DISK, "ephemeral-storage"),
    "nodefs.inodesFree": Signal(DISK, "inodes"),
    "imagefs.available": Signal(DISK, "ephemeral-storage"),
    "imagefs.inodesFree": Signal(DISK, "inodes"),
    "pid.available": Signal(PID, "pids"),
}
"""allocatableMemory is what pods may use together: the node's memory less what is reserved."""
HARD_DEFAULTS: Mapping[str, str] = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}


@dataclass(frozen=True, slots=True)
class Amount:
    """So many, or such a part of the capacity."""

    units: int = 0
    part: float = 0.0

    def of(self, capacity: int) -> int:
        return int(capacity * self.part) if self.part else self.units


@dataclass(frozen=True, slots=True)
class Threshold:
    signal: str
    amount: Amount
    grace: float = 0.0
    """Seconds for which a soft threshold must be met; a hard one has none."""
    reclaim: Amount = Amount()
    """So much more is to be got back once it was met."""

    @property
    def hard(self) -> bool:
        return self.grace == 0


def amounts(value: Any) -> Mapping[str, Amount]:
    """Reads `memory.available: 100Mi` or `10%`, a row each. 0% and 100% switch a signal off."""
    found = {}
    for signal, text in _rows(value).items():
        if text in ("0%", "100%"):
            continue
        if text.endswith("%"):
            found[signal] = Amount(part=float(text[:-1]) / 100)
            if not 0 < found[signal].part <= 1:
                raise ValueError(f"{signal} must be between 0% and 100%")
        else:
            found[signal] = Amount(quantities.units(text))
            if found[signal].units <= 0:
                raise ValueError(f"{signal} must be positive")
    return found


def periods(value: Any) -> Mapping[str, float]:
    """Seconds by signal."""
    return {signal: duration(text) for signal, text in _rows(value).items()}


def _rows(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError("must be a map of signals to strings")
    for signal in value:
        if signal not in SIGNALS:
            raise ValueError(f"has {signal}, which is none of {', '.join(SIGNALS)}")
    return value


def thresholds(
    hard: Mapping[str, Amount],
    soft: Mapping[str, Amount],
    grace: Mapping[str, float],
    reclaim: Mapping[str, Amount],
    *,
    allocatable: bool = False,
) -> tuple[Threshold, ...]:
    """ValueError when a soft threshold has no grace period. `allocatable`: what pods may use together has the hard
    threshold of the node's memory, too."""
    if allocatable and "memory.available" in hard:
        hard = {"allocatableMemory.available": hard["memory.available"], **hard}
    for signal in soft:
        if not grace.get(signal):
            raise ValueError(f"evictionSoftGracePeriod has nothing for {signal}, which evictionSoft has")
    return (
        *(Threshold(s, amount, 0.0, reclaim.get(s, Amount())) for s, amount in hard.items()),
        *(Threshold(s, amount, grace[s], reclaim.get(s, Amount())) for s, amount in soft.items()),
    )
