"""How the seats of the server are shared out among its priority levels (pure).

Each level has its nominal part by its shares, lends a part of that, and borrows from what others lend: every few
seconds the seats go where they were asked for, between those bounds.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#seat-borrowing
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from api.meta import Obj
from apiserver.flow.level import Demand, Rules

_SMOOTHING = 0.977  # halves what was wanted once in five minutes of periods of ten seconds
_LEAST_TARGET = 0.001
_WIDEST, _WIDEST_PART = 10, 0.15


class Seats(NamedTuple):
    nominal: int
    lower: int
    upper: int

    @property
    def widest(self) -> int:
        """How many seats one request may take at most."""
        return max(1, min(_WIDEST, round(self.nominal * _WIDEST_PART)))


class Wanted(NamedTuple):
    """The demand of the last period, and what is made of it and those before."""

    demand: Demand = Demand(0.0, 0.0, 0)
    smoothed: float = 0.0
    target: float = 0.0

    def after(self, demand: Demand, seats: Seats) -> Wanted:
        envelope = demand.average + demand.deviation
        smoothed = max(envelope, _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * envelope)
        return Wanted(demand, smoothed, max(self.least(demand, seats), smoothed))

    @staticmethod
    def least(demand: Demand, seats: Seats) -> float:
        """What it keeps of its own because it was in use."""
        return max(seats.lower, min(seats.nominal, demand.most))


def rules_of(level: Obj) -> Rules:
    spec = level["spec"]
    if spec["type"] == "Exempt":
        return Rules(exempt=True)
    queuing = (spec["limited"].get("limitResponse") or {}).get("queuing")
    if not queuing:
        return Rules()
    return Rules(False, queuing["queues"], queuing["handSize"], queuing["queueLengthLimit"])


def seats_of(levels: Iterable[Obj], total: int) -> dict[str, Seats]:
    """By name of level."""
    parts = {level["metadata"]["name"]: _part(level["spec"]) for level in levels}
    shares = sum(part.get("nominalConcurrencyShares", 0) for part in parts.values()) or 1
    found = {}
    for name, part in parts.items():
        nominal = math.ceil(total * part.get("nominalConcurrencyShares", 0) / shares)
        lent = round(nominal * part.get("lendablePercent", 0) / 100)
        percent = part.get("borrowingLimitPercent")
        borrowed = total if percent is None else round(nominal * percent / 100)
        found[name] = Seats(nominal, nominal - lent, nominal + borrowed)
    return found


def _part(spec: Obj) -> Obj:
    part: Obj = (spec.get("exempt") if spec["type"] == "Exempt" else spec.get("limited")) or {}
    return part


def share_out(total: int, levels: Sequence[tuple[float, float, float]]) -> tuple[list[int], float]:
    """Seats for levels of (lower bound, upper bound, target): each gets its target times one and the same fraction, or
    the bound that this would pass; in all `total`, as far as the bounds let it. And the fraction."""
    rows = [(low, high, max(target, _LEAST_TARGET)) for low, high, target in levels]

    def given(fraction: float) -> list[float]:
        return [max(low, min(high, fraction * target)) for low, high, target in rows]

    below, above = 0.0, 0.0
    for above in sorted({bound / target for low, high, target in rows for bound in (low, high)}):
        if sum(given(above)) >= total:
            break
        below = above
    short, over = sum(given(below)), sum(given(above))
    fraction = below + (above - below) * (total - short) / (over - short) if short < total < over else above
    return [round(seats) for seats in given(fraction)], fraction
