"""How fast nodes may be given up, per zone: slower when many fail at once, not at all when everything does. Pure.

If most nodes look dead the fault is likely ours or the network's: evicting would turn a hiccup into an outage.
https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from api import meta
from api.meta import Obj
from controller import node_health

PRIMARY, SECONDARY = 0.1, 0.01  # nodes per second
UNHEALTHY, LARGE = 0.55, 50
_ZONE, _REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


class Zone(Enum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


def zone_of(node: Obj) -> str:
    labels = meta.labels(node)
    return f"{labels.get(_REGION, '')}:{labels.get(_ZONE, '')}"


def state(nodes: Iterable[Obj]) -> Zone:
    ready = [node_health.ready_status(node) == "True" for node in nodes]
    unhealthy = ready.count(False)
    if unhealthy and unhealthy == len(ready):
        return Zone.FULL
    if unhealthy > 2 and unhealthy / len(ready) >= UNHEALTHY:
        return Zone.PARTIAL
    return Zone.NORMAL


def rate(zone: Zone, size: int, *, all_full: bool) -> float:
    """Nodes per second. A zone that is down as a whole is given up at full speed while another one stands."""
    if zone is Zone.FULL:
        return 0.0 if all_full else PRIMARY
    if zone is Zone.PARTIAL:
        return SECONDARY if size > LARGE else 0.0
    return PRIMARY


class Bucket:
    """A token bucket that holds one: the first node goes at once, the next after 1/rate seconds."""

    def __init__(self) -> None:
        self._tokens, self._at = 1.0, 0.0
        self._rate = PRIMARY

    def set_rate(self, per_second: float, at: float) -> None:
        self._refill(at)
        self._rate = per_second

    def take(self, at: float) -> bool:
        self._refill(at)
        if self._rate <= 0 or self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True

    def _refill(self, at: float) -> None:
        self._tokens = min(1.0, self._tokens + max(0.0, at - self._at) * self._rate)
        self._at = max(self._at, at)
