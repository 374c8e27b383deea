"""Where requests wait for a seat: the shell around the state machine of control.py, which does all the deciding.

One user may also have only so many streams open (watches, followed logs, exec …): a stream has a seat while it begins
and none later, so nothing else would bound them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from time import monotonic

from api.builtin import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from api.errors import TooManyRequests
from api.meta import Obj
from api.registry import Registry
from apiserver.flow.control import CROWD, Control, Flow
from apiserver.flow.level import CANCELLED, TIMED_OUT, Full, Ticket
from apiserver.request import Request, RequestInfo
from apiserver.storage.store import Store, Stored

_LONGEST_WAIT = 15.0  # a quarter of a request's deadline, as upstream
_APPOINTMENT = 0.1
_OBJECTS_PER_SEAT = 100
_READS = frozenset({"get", "list", "watch", "head", "options"})
_COLLECTIONS = frozenset({"list", "watch", "deletecollection"})
_MOST_DIGITS = 20  # a longer number is no int64, which is for the handler to say


class Gate:
    """`enter` and `leave`; for what may go on for long also `open_stream`, which `close_stream` ends."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        seats: int,
        streams: int,  # that a user may have open; 0 = as many as he likes
        refused: Counter[str],  # counts requests by kind
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.control = Control(seats, clock())
        self._store = store
        self._registry = registry
        self._most_streams = streams
        self._refused = refused
        self._appointment: asyncio.TimerHandle | None = None
        self._streams: Counter[str] = Counter()
        self._clock = clock

    def follow(self) -> None:
        """Before the store is started."""
        for row, take in (
            (FLOW_SCHEMAS, self.control.on_schema),
            (PRIORITY_LEVEL_CONFIGURATIONS, self.control.on_level),
        ):

            def on_change(key: str, stored: Stored | None, take: Callable[[str, Obj | None], None] = take) -> None:
                take(key, stored.obj() if stored is not None else None)

            self._store.listen(row, on_change)

    async def enter(self, request: Request, seconds: float) -> float:
        """Have a seat, after as long as this says: at most a quarter of the `seconds` that the request has.
        TooManyRequests."""
        control, now, info = self.control, self._clock(), request.info
        if started := control.tick(now):
            _wake(started)
        flow = control.flow_of(request.user, info)
        request.answer_headers += flow.headers
        width = self._width(request, flow.widest) if info.verb in _COLLECTIONS else 1
        try:
            ticket = control.arrive(flow, width, now)
        except Full as full:
            raise self._too_many(info, flow) from full
        ticket.request = request
        if self._appointment is None and ticket.level.taken >= CROWD:
            self._appoint()
        if ticket.started is None:
            await self._wait(ticket, min(seconds / 4, _LONGEST_WAIT), info)
            request.ticket = ticket
            if request.is_abandoned:
                self.leave(request)
                raise self._too_many(info, flow)
            return self._clock() - now
        request.ticket = ticket
        return 0.0

    async def _wait(self, ticket: Ticket, seconds: float, info: RequestInfo) -> None:
        ticket.wake = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await ticket.wake
        except TimeoutError as error:
            if ticket.started is None:
                _wake(self.control.give_up(ticket, self._clock(), TIMED_OUT))
                raise self._too_many(info, ticket.flow) from error
        except BaseException:
            now = self._clock()
            waits = ticket.started is None
            _wake(self.control.give_up(ticket, now, CANCELLED) if waits else self.control.leave(ticket, now))
            raise

    def _appoint(self) -> None:
        """See how late the event loop is, again and again until it is quiet."""
        due = self._clock() + _APPOINTMENT
        self._appointment = asyncio.get_running_loop().call_later(_APPOINTMENT, self._keep, due)

    def _keep(self, due: float) -> None:
        now = self._clock()
        _wake(self.control.keep_pace(now - due, now))
        self._appointment = None
        if not self.control.is_quiet:
            self._appoint()

    def leave(self, request: Request) -> None:
        """As often as one likes."""
        ticket = request.ticket
        if ticket is not None:
            request.ticket = None
            started = self.control.leave(ticket, self._clock(), "watch" if request.info.verb == "watch" else "regular")
            if started:
                _wake(started)

    def open_stream(self, request: Request) -> None:
        """TooManyRequests."""
        user, most = request.user, self._most_streams
        if 0 < most <= self._streams[user.name] and not self._is_exempt(request):
            raise self._too_many(request.info, self.control.flow_of(user, request.info))
        self._streams[user.name] += 1
        request.streaming = True

    def close_stream(self, request: Request) -> None:
        """Of a request that is `streaming`."""
        self.leave(request)
        user = request.user.name
        self._streams[user] -= 1
        if not self._streams[user]:
            del self._streams[user]

    def _too_many(self, info: RequestInfo, flow: Flow) -> TooManyRequests:
        self._refused[kind_of(info)] += 1
        seconds = self.control.retry_after(flow, self._clock())
        return TooManyRequests("Too many requests, please try again later.", {"retryAfterSeconds": seconds})

    def _is_exempt(self, request: Request) -> bool:
        return self.control.flow_of(request.user, request.info).level.rules.exempt

    def _width(self, request: Request, widest: int) -> int:
        """A seat for every hundred objects to be shown. A watch has as many as the list that it begins with."""
        info = request.info
        if info.name or (info.verb == "watch" and not request.flag("sendInitialEvents")):
            return 1
        row = self._registry.by_plural(info.group, info.version, info.resource)
        if row is None:
            return 1
        count = self._store.count(row, info.namespace if row.namespaced else "")
        limit = request.query("limit") if count > _OBJECTS_PER_SEAT else ""
        if limit.isdecimal() and len(limit) < _MOST_DIGITS and 0 < int(limit) < count:
            count = int(limit)
        return max(1, min(widest, -(-count // _OBJECTS_PER_SEAT)))


def _wake(started: Iterable[Ticket]) -> None:
    for ticket in started:
        if ticket.wake is not None and not ticket.wake.done():
            ticket.wake.set_result(None)


def kind_of(info: RequestInfo) -> str:
    return "readOnly" if info.verb in _READS else "mutating"
