"""What flow control is at, as the text tables of /debug/api_priority_and_fairness (pure).

https://kubernetes.io/docs/reference/debug-cluster/flow-control/#debug-endpoints
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from apiserver.flow.control import Control
from apiserver.flow.level import CANCELLED, NO_SEAT, QUEUE_FULL, TIMED_OUT, Level, Ticket

_LEVEL = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests",
    "DispatchedRequests", "RejectedRequests", "TimedoutRequests", "CancelledRequests",
)  # fmt: skip
_QUEUE = (
    "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR",
    "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum",
)  # fmt: skip
_REQUEST = (
    "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime",
    "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime",
)  # fmt: skip
_DETAILS = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")
_NEVER = "0001-01-01T00:00:00Z"
_LEAST_WIDTH = 8


def priority_levels(control: Control) -> str:
    return _table([_LEVEL, *(_level(control, level) for level in _levels(control))])


def queues(control: Control) -> str:
    return _table([_QUEUE, *(row for level in _levels(control) for row in _queues(level))])


def requests(control: Control, moment: Callable[[float], float], *, details: bool) -> str:
    """`moment` tells the time since the epoch of one of the machine's."""

    def row(ticket: Ticket, queue: int, index: int) -> list[object]:
        flow, request = ticket.flow, ticket.request
        started = _NEVER if ticket.started is None else _time(moment(ticket.started))
        cells = [
            *flow.tally.labels, queue, index, flow.distinguisher, _time(moment(ticket.arrived)), ticket.width, 0, "0s",
            started,
        ]  # fmt: skip
        if details:
            info = request.info
            version = f"{info.group}/{info.version}" if info.group else info.version
            cells += [request.user.name, info.verb, info.path, info.namespace, info.name, version, info.resource,
                      info.subresource]  # fmt: skip
        return cells

    rows: list[Sequence[object]] = [(*_REQUEST, *_DETAILS) if details else _REQUEST]
    for level in _levels(control):
        running = sorted(level.executing, key=lambda ticket: ticket.arrived)
        rows += [row(ticket, -1 if ticket.queue is None else ticket.queue.index, -1) for ticket in running]
        for queue in level.busy_queues():
            rows += [row(ticket, queue.index, index) for index, ticket in enumerate(queue.waiting)]
    return _table(rows)


def _levels(control: Control) -> list[Level]:
    return [level for _, level in sorted(control.levels.items())]


def _level(control: Control, level: Level) -> list[object]:
    tallies = [tally for (name, _), tally in control.tallies.items() if name == level.name]
    refused: Counter[str] = sum((tally.rejected for tally in tallies), Counter())
    return [
        level.name, sum(1 for queue in level.busy_queues() if queue.waiting),
        _bool(value=not level.waiting and not level.executing), _bool(value=False), level.waiting, len(level.executing),
        sum(tally.dispatched for tally in tallies), refused[QUEUE_FULL] + refused[NO_SEAT], refused[TIMED_OUT],
        refused[CANCELLED],
    ]  # fmt: skip


def _queues(level: Level) -> Iterator[list[object]]:
    busy = {queue.index: queue for queue in level.busy_queues()}
    seats: Counter[int] = Counter()
    for ticket in level.executing:
        if ticket.queue is not None:
            seats[ticket.queue.index] += ticket.width
    for index in sorted({*range(level.rules.queues), *busy}):
        if (queue := busy.get(index)) is None:
            yield [level.name, index, 0, 0, 0, _work(0.0), 0, 0, _work(0.0)]
        else:
            width = queue.width
            yield [level.name, index, len(queue.waiting), queue.executing, seats[index], _work(queue.start), width,
                   width, _work(queue.work)]  # fmt: skip


def _table(rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[*(f"{cell}," for cell in row[:-1]), str(row[-1])] for row in rows]
    widths = [max(_LEAST_WIDTH, *(len(cell) + 1 for cell in column)) for column in zip(*cells, strict=True)]
    lines = (
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in cells
    )
    return "".join(f"{line}\n" for line in lines)


def _bool(*, value: bool) -> str:
    return "true" if value else "false"


def _work(seconds: float) -> str:
    return f"{seconds:.8f}ss"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
