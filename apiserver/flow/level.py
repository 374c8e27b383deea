"""One priority level: who of those that come starts now, who waits, who is refused (pure; the caller says what time it is).

A request takes seats while it is served. When they are all taken, requests wait in queues: each flow has a hand of a
few, dealt by shuffle sharding, so that a crowding flow fills its own hand and hardly ever all of another's. The queue
whose next request would end first in a fair sharing of the seats is served first, so a flow that asked for little
passes one that asked for much. https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/1040-priority-and-fairness ;
k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset
"""  # noqa: E501 - an address

from __future__ import annotations

import math
from collections import deque
from operator import attrgetter
from typing import Any, NamedTuple

_EXPECTED = 0.003  # seconds: how long a request is taken to last, until it is known

QUEUE_FULL, NO_SEAT, TIMED_OUT, CANCELLED = "queue-full", "concurrency-limit", "time-out", "cancelled"


class Full(Exception):
    """There is no room, not even to wait. The argument is the reason, as metrics call it."""


class Rules(NamedTuple):
    """What a level's object says of its queues. Without queues nobody waits; an exempt level has room for all."""

    exempt: bool = False
    queues: int = 0
    hand: int = 0
    most_queued: int = 0


class Demand(NamedTuple):
    """Of seats, taken or waited for, over a period."""

    average: float
    deviation: float
    most: int


class Ticket:
    """One request. `started` is None while it waits; `request` and `wake` are the caller's own."""

    __slots__ = ("arrived", "flow", "level", "over", "queue", "r", "request", "started", "wake", "width")

    def __init__(self, level: Level, flow: Any, width: int, arrived: float) -> None:
        self.level = level
        self.flow = flow
        self.width = width
        self.arrived = arrived
        self.started: float | None = None
        self.queue: Queue | None = None
        self.r = 0.0
        self.over = False
        self.request: Any = None
        self.wake: Any = None


class Queue:
    """Its next request would begin at the virtual time `start` and end at `finish`."""

    __slots__ = ("executing", "finish", "index", "start", "waiting", "width")

    def __init__(self, index: int, start: float) -> None:
        self.index = index
        self.start = self.finish = start
        self.waiting: deque[Ticket] = deque()
        self.width = 0  # seats waited for
        self.executing = 0

    def settle(self) -> None:
        """Nobody saves up: a request's work does not begin before it came."""
        if self.waiting:
            first = self.waiting[0]
            if self.start < first.r:
                self.start = first.r
            self.finish = self.start + _EXPECTED * first.width

    @property
    def work(self) -> float:
        """How much is expected to wait, in seat-seconds."""
        return _EXPECTED * self.width


_finish = attrgetter("finish")


class Level:
    """`arrive`, then `leave` or `give_up`. Those that others' ends let start are returned, each once."""

    def __init__(self, name: str, rules: Rules, limit: int, now: float) -> None:
        self.name = name
        self.rules = rules
        self.limit = limit
        self.taken = 0  # seats
        self.waiting = 0  # requests
        self.executing: set[Ticket] = set()
        self._wanted = 0  # seats that these wait for
        self._queues: dict[int, Queue] = {}  # those with anybody in them
        self._turn = 0
        self._r = 0.0  # virtual time: seat-seconds that a flow had if all were served evenly
        self._at = self._since = now
        self._area = self._squares = 0.0
        self._most = 0

    # ---- what happens

    def arrive(self, flow: Any, hand: tuple[int, ...], width: int, now: float) -> Ticket:
        """Started, or waiting. Full."""
        self._pass(now)
        ticket = Ticket(self, flow, width, now)
        rules = self.rules
        if not hand or rules.exempt:
            if not (rules.exempt or self._fits(width)):
                raise Full(NO_SEAT)
            ticket.started = now
            self.executing.add(ticket)
            self.taken += width
        else:
            self._enqueue(ticket, hand)
            if self.taken < self.limit:
                if self.waiting == 1 and self._fits(width):
                    self._start(ticket, now)
                elif self.waiting > 1:  # it may be narrower than who is next, so it is the only one that may start
                    self._dispatch(now)
        demand = self.taken + self._wanted
        if demand > self._most:
            self._most = demand
        return ticket

    def leave(self, ticket: Ticket, now: float) -> list[Ticket]:
        """A request that had started is served."""
        assert ticket.started is not None and not ticket.over, "only who has started can leave, once"
        self._pass(now)
        ticket.over = True
        self.executing.remove(ticket)
        self.taken -= ticket.width
        if (queue := ticket.queue) is not None:
            queue.executing -= 1
            queue.start += (now - ticket.started - _EXPECTED) * ticket.width
            queue.settle()
            self._tidy(queue)
        return self._dispatch(now) if self.waiting else []

    def give_up(self, ticket: Ticket, now: float) -> list[Ticket]:
        """A request that waited waits no longer. (Who waited behind it may fit.)"""
        assert ticket.started is None and not ticket.over and ticket.queue is not None, "only who waits can give up"
        self._pass(now)
        ticket.over = True
        queue = ticket.queue
        queue.waiting.remove(ticket)
        self._unqueued(queue, ticket.width)
        queue.settle()
        self._tidy(queue)
        return self._dispatch(now)

    def resize(self, limit: int, now: float) -> list[Ticket]:
        self._pass(now)
        self.limit = limit
        return self._dispatch(now)

    # ---- seats

    def _fits(self, width: int) -> bool:
        """What is wider than the level is served alone."""
        return self.taken + width <= self.limit or (self.taken == 0 and self.limit > 0)

    def _enqueue(self, ticket: Ticket, hand: tuple[int, ...]) -> None:
        """In the queue of the hand that the least work waits in; among equals in turn. Full."""
        self._turn += 1
        index, least = -1, math.inf
        for offset in range(self._turn, self._turn + len(hand)):
            one = hand[offset % len(hand)]
            found = self._queues.get(one)
            width = found.width if found is not None else 0
            if width < least:
                index, least = one, width
                if not width:
                    break
        queue = self._queues.get(index)
        if queue is None:
            queue = self._queues[index] = Queue(index, self._r)
        elif len(queue.waiting) >= self.rules.most_queued:
            raise Full(QUEUE_FULL)
        ticket.queue, ticket.r = queue, self._r
        queue.waiting.append(ticket)
        queue.width += ticket.width
        if len(queue.waiting) == 1:
            queue.settle()
        self.waiting += 1
        self._wanted += ticket.width

    def _start(self, ticket: Ticket, now: float) -> None:
        """The first one of its queue."""
        queue, width = ticket.queue, ticket.width
        assert queue is not None and queue.waiting[0] is ticket
        queue.waiting.popleft()
        self._unqueued(queue, width)
        ticket.started = now
        self.executing.add(ticket)
        queue.executing += 1
        queue.start += _EXPECTED * width
        queue.settle()
        self.taken += width

    def _unqueued(self, queue: Queue, width: int) -> None:
        queue.width -= width
        self.waiting -= 1
        self._wanted -= width

    def _dispatch(self, now: float) -> list[Ticket]:
        started = []
        while self.waiting:
            queue = min([queue for queue in self._queues.values() if queue.waiting], key=_finish)
            first = queue.waiting[0]
            if not self._fits(first.width):
                break
            self._start(first, now)
            started.append(first)
        return started

    def _tidy(self, queue: Queue) -> None:
        if not queue.waiting and not queue.executing:
            del self._queues[queue.index]
            if not self._queues:
                self._r = 0.0

    def busy_queues(self) -> list[Queue]:
        """Those with anybody in them, by their numbers."""
        return [queue for _, queue in sorted(self._queues.items())]

    # ---- time

    def _pass(self, now: float) -> None:
        """Time has passed with nothing changed: virtual time goes as fast as each queue with work is served."""
        elapsed = now - self._at
        if elapsed <= 0:
            return
        self._at = now
        demand = self.taken + self._wanted
        if demand:
            self._area += demand * elapsed
            self._squares += demand * demand * elapsed
            if self._queues:
                self._r += elapsed * min(demand, self.limit) / len(self._queues)

    def demand(self, now: float) -> Demand:
        """Since it was asked last."""
        self._pass(now)
        elapsed, most = now - self._since, self._most
        average = self._area / elapsed if elapsed > 0 else 0.0
        variance = self._squares / elapsed - average * average if elapsed > 0 else 0.0
        self._since, self._area, self._squares, self._most = now, 0.0, 0.0, self.taken + self._wanted
        return Demand(average, math.sqrt(max(variance, 0.0)), most)


def deal(entropy: int, queues: int, hand: int) -> tuple[int, ...]:
    """`hand` different queues of so many, all hands as likely: cards are drawn from what is left of the deck."""
    drawn: list[int] = []
    for left in range(queues, queues - hand, -1):
        entropy, card = divmod(entropy, left)
        for one in sorted(drawn):
            card += one <= card
        drawn.append(card)
    return tuple(drawn)
