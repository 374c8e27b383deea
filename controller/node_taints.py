"""Which taints a node's conditions put on it, and whether pods tolerate them. Pure.

NoSchedule taints follow the conditions at once. The NoExecute taints `not-ready` and `unreachable` evict pods,
so their coming is rate limited by the caller; their going is not.
https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from api import meta
from api.meta import Obj
from api.placement import tolerates

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_WHEN_TRUE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_NO_SCHEDULE_KEYS = {NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_WHEN_TRUE.values()}


def taints_of(node: Obj) -> list[Obj]:
    return (node.get("spec") or {}).get("taints") or []


def _ready_key(node: Obj) -> str:
    condition = meta.get_condition(node, "Ready")
    if condition is None or condition.get("status") == "False":
        return NOT_READY
    return UNREACHABLE if condition.get("status") == "Unknown" else ""


def no_schedule_keys(node: Obj) -> set[str]:
    keys = {key for type_, key in _WHEN_TRUE.items() if meta.is_condition_true(node, type_)}
    if _ready_key(node):
        keys.add(_ready_key(node))
    if (node.get("spec") or {}).get("unschedulable"):
        keys.add(UNSCHEDULABLE)
    return keys


def no_execute_key(node: Obj) -> str:
    """The NoExecute taint the node deserves, or "". A node that never said anything is not worth evicting."""
    return _ready_key(node) if meta.get_condition(node, "Ready") is not None else ""


def has(node: Obj, key: str, effect: str) -> bool:
    return any(t.get("key") == key and t.get("effect") == effect for t in taints_of(node))


def wanted(node: Obj, now: datetime, *, may_evict: bool) -> list[Obj]:
    """The node's whole list of taints as it should be. Without `may_evict` no NoExecute taint is added, but
    one that is there changes its key as the node's state does, and goes when the node is well."""
    keys = no_schedule_keys(node)
    evicting = no_execute_key(node)
    had = any(has(node, key, "NoExecute") for key in (NOT_READY, UNREACHABLE))
    if not may_evict and not had:
        evicting = ""
    kept, present = [], set()
    for taint in taints_of(node):
        key, effect = str(taint.get("key")), taint.get("effect")
        if effect == "NoSchedule" and key in _NO_SCHEDULE_KEYS and key not in keys:
            continue
        if effect == "NoExecute" and key in (NOT_READY, UNREACHABLE) and key != evicting:
            continue
        kept.append(taint)
        present.add((key, effect))
    stamp = meta.rfc3339(now)
    kept += [
        {"key": key, "effect": "NoSchedule", "timeAdded": stamp}
        for key in sorted(keys) if (key, "NoSchedule") not in present
    ]  # fmt: skip
    if evicting and (evicting, "NoExecute") not in present:
        kept.append({"key": evicting, "effect": "NoExecute", "timeAdded": stamp})
    return kept


def without_eviction(node: Obj) -> list[Obj]:
    """The taints less our own NoExecute ones."""
    return [
        t for t in taints_of(node)
        if not (t.get("effect") == "NoExecute" and t.get("key") in (NOT_READY, UNREACHABLE))
    ]  # fmt: skip


def evict_at(tolerations: Sequence[Obj], taints: Iterable[Obj], now: datetime) -> datetime | None:
    """When NoExecute taints end a pod's stay: None = never; `now` or earlier = at once.

    A taint without `timeAdded` counts from now. With several tolerations of a taint the shortest counts.
    """
    ends: list[datetime] = []
    for taint in taints:
        if taint.get("effect") != "NoExecute":
            continue
        matching = [t for t in tolerations if tolerates(t, taint)]
        if not matching:
            return now
        seconds = [int(t["tolerationSeconds"]) for t in matching if t.get("tolerationSeconds") is not None]
        if seconds:
            added = meta.parse_time(taint["timeAdded"]) if taint.get("timeAdded") else now
            ends.append(added + timedelta(seconds=max(0, min(seconds))))
    return min(ends, default=None)
