"""Pods that wait for a node. PURE: time is given to every call, in seconds.

    active         to be tried now: higher priority first, then who came first
    backoff        tried and failed; not before 1 s, 2 s, 4 s … 10 s after the last attempt
    unschedulable  no node fits; back when a change could help one of the filters that said no, or after 5 min
    gated          spec.schedulingGates is not empty

When nothing is active, a pod that waits out one of its first back-offs because no node fitted is tried early,
since nobody is in front of it: a cluster that is just starting gets its pods placed at once. One that failed
with an error (the apiserver refused or was away) waits its full time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from scheduler.plugins import HELPED_BY
from scheduler.pod import Pod
from scheduler.snapshot import Change

INITIAL_BACKOFF, MAX_BACKOFF, MAX_UNSCHEDULABLE = 1.0, 10.0, 300.0
EARLY_ATTEMPTS = 4  # beyond, a storm of changes would be a storm of attempts


class Place(Enum):
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    IN_FLIGHT = "in flight"


@dataclass(slots=True)
class Entry:
    pod: Pod
    order: int
    place: Place = Place.ACTIVE
    attempts: int = 0
    failed_at: float = 0.0
    error: bool = False  # the last failure was not about nodes
    blockers: frozenset[str] = frozenset()
    ticket: int = 0  # heap items with an older ticket are stale


class SchedulingQueue:
    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._unschedulable: dict[str, Entry] = {}
        self._active: list[tuple[int, int, int, str]] = []
        self._backoff: list[tuple[float, int, int, str]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._entries)

    def place_of(self, uid: str) -> Place | None:
        entry = self._entries.get(uid)
        return entry.place if entry else None

    def count(self, place: Place) -> int:
        return sum(entry.place is place for entry in self._entries.values())

    def put(self, pod: Pod, now: float) -> None:
        """A pod that wants a node, new or changed. A change of what it asks for makes it worth trying."""
        entry = self._entries.get(pod.uid)
        if entry is None:
            self._order += 1
            entry = self._entries[pod.uid] = Entry(pod, self._order)
            self._move(entry, Place.GATED if pod.gated else Place.ACTIVE)
            return
        asks_anew = _asks(entry.pod) != _asks(pod)
        entry.pod = pod
        if entry.place is Place.GATED and not pod.gated:
            self._move(entry, Place.ACTIVE)
        elif entry.place is Place.UNSCHEDULABLE and asks_anew:
            self._retry(entry, now)

    def remove(self, uid: str) -> None:
        self._entries.pop(uid, None)
        self._unschedulable.pop(uid, None)

    def pop(self, now: float) -> Entry | None:
        """The next pod to try, now in flight until `unschedulable`, `failed` or `remove`."""
        while self._backoff and self._backoff[0][0] <= now:
            entry = self._current(*heapq.heappop(self._backoff)[2:], Place.BACKOFF)
            if entry is not None:
                self._move(entry, Place.ACTIVE)
        while self._active:
            entry = self._current(*heapq.heappop(self._active)[2:], Place.ACTIVE)
            if entry is not None:
                return self._launch(entry)
        return self._early()

    def _early(self) -> Entry | None:
        for position, (_, _, ticket, uid) in enumerate(self._backoff):
            entry = self._current(ticket, uid, Place.BACKOFF)
            if entry is not None and not entry.error and entry.attempts < EARLY_ATTEMPTS:
                del self._backoff[position]
                heapq.heapify(self._backoff)
                return self._launch(entry)
        return None

    def _launch(self, entry: Entry) -> Entry:
        entry.place = Place.IN_FLIGHT
        entry.ticket += 1
        entry.attempts += 1
        return entry

    def unschedulable(self, uid: str, blockers: frozenset[str], now: float) -> None:
        """No node fits; these filters said so."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.failed_at, entry.error, entry.blockers = now, False, blockers
            self._move(entry, Place.UNSCHEDULABLE)

    def failed(self, uid: str, now: float) -> None:
        """A node was found, but binding failed."""
        entry = self._entries.get(uid)
        if entry is not None:
            entry.failed_at, entry.error = now, True
            self._move(entry, Place.BACKOFF)

    def changed(self, changes: Iterable[Change], now: float) -> None:
        """The cluster changed: bring back whom that could help."""
        happened = frozenset(changes)
        for entry in list(self._unschedulable.values()):
            if _could_help(happened, entry.blockers):
                self._retry(entry, now)

    def flush(self, now: float) -> None:
        """Whoever has waited 5 minutes is tried again, in case a change was not recognised as helpful."""
        for entry in list(self._unschedulable.values()):
            if now - entry.failed_at >= MAX_UNSCHEDULABLE:
                self._retry(entry, now)

    def due(self) -> float | None:
        """When the first back-off ends."""
        return self._backoff[0][0] if self._backoff else None

    def _retry(self, entry: Entry, now: float) -> None:
        self._move(entry, Place.ACTIVE if self._ready_at(entry) <= now else Place.BACKOFF)

    def _ready_at(self, entry: Entry) -> float:
        doublings = min(max(entry.attempts - 1, 0), 10)
        return entry.failed_at + min(INITIAL_BACKOFF * float(1 << doublings), MAX_BACKOFF)

    def _move(self, entry: Entry, place: Place) -> None:
        entry.place = place
        entry.ticket += 1
        self._unschedulable.pop(entry.pod.uid, None)
        if place is Place.UNSCHEDULABLE:
            self._unschedulable[entry.pod.uid] = entry
        elif place is Place.ACTIVE:
            item = (-entry.pod.priority, entry.order, entry.ticket, entry.pod.uid)
            heapq.heappush(self._active, item)
        elif place is Place.BACKOFF:
            heapq.heappush(self._backoff, (self._ready_at(entry), entry.order, entry.ticket, entry.pod.uid))

    def _current(self, ticket: int, uid: str, place: Place) -> Entry | None:
        entry = self._entries.get(uid)
        return entry if entry is not None and entry.ticket == ticket and entry.place is place else None


def _asks(pod: Pod) -> tuple[object, ...]:
    return (pod.labels, pod.requests, pod.tolerations, pod.selector, pod.affinity, pod.ports, pod.gated)


def _could_help(happened: frozenset[Change], blockers: frozenset[str]) -> bool:
    return not blockers or any(HELPED_BY[name] & happened for name in blockers)
