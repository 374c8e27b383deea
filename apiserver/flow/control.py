"""The whole of flow control as one state machine: objects in, requests in, tickets out (pure; time is told).

A request's flow is looked up by who asks for what. What was looked up once is remembered, so that all but the first
request of its kind cost one look-up, until the objects change.
"""

from __future__ import annotations

import math
from collections import Counter
from hashlib import sha256

from api.kinds.flow_objects import MANDATORY_LEVELS, MANDATORY_SCHEMAS
from api.meta import Obj
from apiserver.auth.user import User
from apiserver.flow import matching, shares
from apiserver.flow.backoff import Backoff
from apiserver.flow.level import Full, Level, Ticket, deal
from apiserver.flow.shares import Seats, Wanted
from apiserver.histogram import Histogram
from apiserver.request import RequestInfo

PERIOD = 10.0
"""Seconds between two adjustments of what levels lend each other."""
CROWD = 16
"""Fewer requests of a level at once cannot keep the server busy for long."""
_LATE, _EARLY = 0.02, 0.01  # seconds
_BRAKE, _SPEED_UP, _SLOWEST = 0.7, 1.1, 0.1
_REMEMBERED = 8192
_DURATIONS = (0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_WIDTHS = (1, 2, 4, 10)
_LENGTHS = (0, 10, 25, 50, 100, 250, 500, 1000)
_CATCH_ALL = "catch-all"


class Tally:
    """What is counted of one schema's requests in one level."""

    __slots__ = ("dispatched", "executing", "kinds", "labels", "queued", "refused", "rejected", "seats", "served")

    def __init__(self, level: str, schema: str) -> None:
        self.labels = (level, schema)
        self.served, self.refused = (level, schema, "true"), (level, schema, "false")
        self.kinds = {kind: (level, schema, kind) for kind in ("regular", "watch")}
        self.dispatched = self.executing = self.seats = self.queued = 0
        self.rejected: Counter[str] = Counter()  # by reason


class Flow:
    """Requests of one schema that share a hand of queues. `headers` tell a client where it was put."""

    __slots__ = ("distinguisher", "hand", "headers", "level", "tally", "widest")

    def __init__(
        self,
        level: Level,
        distinguisher: str,
        hand: tuple[int, ...],
        tally: Tally,
        widest: int,
        headers: tuple[tuple[bytes, bytes], ...],
    ) -> None:
        self.level = level
        self.distinguisher = distinguisher
        self.hand = hand
        self.tally = tally
        self.widest = widest
        self.headers = headers


class Control:
    """`on_schema` and `on_level` take changes in. `flow_of`, `arrive`, `leave` and `give_up` are for each request; the
    last three return those that may start now. `seats` is what the levels share."""

    def __init__(self, seats: int, now: float) -> None:
        self.seats = seats
        self.levels: dict[str, Level] = {}
        self.shares: dict[str, Seats] = {}
        self.wanted: dict[str, Wanted] = {}
        self.fraction = 1.0
        self.pace = 1.0
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.backoffs: dict[str, Backoff] = {}  # by level
        self.waits = Histogram(_DURATIONS)  # by level, schema, "true" when it was served after
        self.durations = Histogram(_DURATIONS)  # by level, schema, "regular" or "watch"
        self.widths = Histogram(_WIDTHS)  # by level, schema
        self.lengths = Histogram(_LENGTHS)  # by level, schema
        self._objects: tuple[dict[str, Obj], dict[str, Obj]] = ({}, {})  # schemas, levels
        self._schemas: list[Obj] = []
        self._uids: dict[str, str] = {}
        self._flows: dict[tuple[object, ...], Flow] = {}
        self._given: dict[str, int] = {}
        self._changed = True
        self._adjust_at = now
        self._arrange(now)

    # ---- staying current

    def on_schema(self, name: str, schema: Obj | None) -> None:
        self._on(0, name, schema)

    def on_level(self, name: str, level: Obj | None) -> None:
        self._on(1, name, level)

    def _on(self, which: int, name: str, obj: Obj | None) -> None:
        held = self._objects[which]
        if obj is None:
            held.pop(name, None)
        else:
            held[name] = obj
        self._changed = True

    def tick(self, now: float) -> list[Ticket]:
        """To be called before each arrival: takes in what has changed, and lends anew when it is time."""
        if self._changed:
            return self._arrange(now)
        return self._adjust(now) if now >= self._adjust_at else []

    def _arrange(self, now: float) -> list[Ticket]:
        """What is not there of the mandatory objects is taken as it should be."""
        self._changed = False
        schemas, levels = (
            {obj["metadata"]["name"]: obj for obj in mandatory} | held
            for mandatory, held in zip((MANDATORY_SCHEMAS, MANDATORY_LEVELS), self._objects, strict=True)
        )
        self.shares = shares.seats_of(levels.values(), self.seats)
        for name in self.levels.keys() - levels.keys():
            del self.levels[name]  # who is in it still finds his way out
        for name, obj in levels.items():
            rules = shares.rules_of(obj)
            level = self.levels.get(name)
            if level is None:
                self.levels[name] = Level(name, rules, self.shares[name].nominal, now)
            else:
                level.rules = rules
        self.wanted = {name: self.wanted.get(name, Wanted()) for name in levels}
        self._schemas = matching.ordered(schemas.values(), levels)
        self._uids = {name: obj["metadata"].get("uid", "") for name, obj in levels.items()}
        self._flows.clear()
        return self._adjust(now)

    def _adjust(self, now: float) -> list[Ticket]:
        self._adjust_at = now + PERIOD
        rows = []
        for name, level in self.levels.items():
            seats, demand = self.shares[name], level.demand(now)
            self.wanted[name] = self.wanted[name].after(demand, seats)
            rows.append((Wanted.least(demand, seats), seats.upper, self.wanted[name].target))
        given, self.fraction = shares.share_out(sum(s.nominal for s in self.shares.values()), rows)
        self._given = dict(zip(self.levels, given, strict=True))
        return self._resize(now)

    def _resize(self, now: float) -> list[Ticket]:
        started = []
        for name, limit in self._given.items():
            started += self.levels[name].resize(math.ceil(limit * self.pace), now)
        return [self._counted_start(ticket) for ticket in started]

    def keep_pace(self, lag: float, now: float) -> list[Ticket]:
        """The server's one thread was `lag` seconds late for an appointment. More requests at once than it keeps up
        with make all of them late, the most important ones too: then each level has fewer seats for a while."""
        pace = self.pace
        if lag > _LATE:
            self.pace = max(_SLOWEST, pace * _BRAKE)
        elif lag < _EARLY:
            self.pace = min(1.0, pace * _SPEED_UP)
        return self._resize(now) if self.pace != pace else []

    @property
    def is_quiet(self) -> bool:
        """There is nothing to keep pace with."""
        return self.pace == 1.0 and all(level.taken < CROWD for level in self.levels.values())

    # ---- requests

    def flow_of(self, user: User, asked: RequestInfo) -> Flow:
        key: tuple[object, ...]
        if asked.is_resource:
            key = (user.name, user.groups, asked.verb, asked.resource, asked.subresource, asked.group, asked.namespace)
        else:
            key = (user.name, user.groups, asked.verb, asked.path)
        found = self._flows.get(key)
        if found is None:
            if len(self._flows) >= _REMEMBERED:
                self._flows.clear()
            found = self._flows[key] = self._find(user, asked)
        return found

    def _find(self, user: User, asked: RequestInfo) -> Flow:
        schema = matching.match(self._schemas, user, asked) or self._schema(_CATCH_ALL)
        name = schema["metadata"]["name"]
        level = self.levels[schema["spec"]["priorityLevelConfiguration"]["name"]]
        told = matching.distinguisher(schema, user, asked)
        entropy = sha256(f"{name},{told}".encode()).digest()
        hand = deal(int.from_bytes(entropy[:16], "little"), level.rules.queues, level.rules.hand)
        tally = self.tallies.get((level.name, name))
        if tally is None:
            tally = self.tallies[level.name, name] = Tally(level.name, name)
        uids = (
            (b"X-Kubernetes-PF-FlowSchema-UID", schema["metadata"].get("uid", "")),
            (b"X-Kubernetes-PF-PriorityLevel-UID", self._uids[level.name]),
        )
        headers = tuple((header, uid.encode()) for header, uid in uids if uid)
        return Flow(level, told, hand, tally, self.shares[level.name].widest, headers)

    def _schema(self, name: str) -> Obj:
        return next(schema for schema in self._schemas if schema["metadata"]["name"] == name)

    def arrive(self, flow: Flow, width: int, now: float) -> Ticket:
        """Started, or waiting. Full."""
        tally = flow.tally
        try:
            ticket = flow.level.arrive(flow, flow.hand, width, now)
        except Full as full:
            tally.rejected[str(full)] += 1
            raise
        self.widths.observe(tally.labels, width)
        if ticket.started is None:
            tally.queued += 1
            self.lengths.observe(tally.labels, len(ticket.queue.waiting) if ticket.queue is not None else 0)
        else:
            tally.dispatched += 1
            tally.executing += 1
            tally.seats += width
            self.waits.observe(tally.served, 0.0)
        return ticket

    def retry_after(self, flow: Flow, now: float) -> int:
        """Seconds to tell one who is refused."""
        return self.backoffs.setdefault(flow.level.name, Backoff()).refuse(now)

    def leave(self, ticket: Ticket, now: float, kind: str = "regular") -> list[Ticket]:
        assert ticket.started is not None
        tally = ticket.flow.tally
        tally.executing -= 1
        tally.seats -= ticket.width
        self.durations.observe(tally.kinds[kind], now - ticket.started)
        started = ticket.level.leave(ticket, now)
        return [self._counted_start(other) for other in started] if started else started

    def give_up(self, ticket: Ticket, now: float, reason: str) -> list[Ticket]:
        tally = ticket.flow.tally
        tally.queued -= 1
        tally.rejected[reason] += 1
        self.waits.observe(tally.refused, now - ticket.arrived)
        return [self._counted_start(other) for other in ticket.level.give_up(ticket, now)]

    def _counted_start(self, ticket: Ticket) -> Ticket:
        assert ticket.started is not None
        tally = ticket.flow.tally
        tally.queued -= 1
        tally.dispatched += 1
        tally.executing += 1
        tally.seats += ticket.width
        self.waits.observe(tally.served, ticket.started - ticket.arrived)
        return ticket
