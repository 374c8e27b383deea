"""The tables of /debug/api_priority_and_fairness, laid out as the documentation shows them.

https://kubernetes.io/docs/reference/debug-cluster/flow-control/#debug-endpoints
"""

from __future__ import annotations

from apiserver.auth.user import User
from apiserver.flow import dump
from apiserver.flow.control import Control
from apiserver.request import Request
from tests.unit.apiserver.flow.test_control import JANE, MASTER, control

PATH = "/api/v1/namespaces/shop/pods"


async def _nothing() -> dict[str, object]:
    raise AssertionError("nobody reads")


def arrive(made: Control, user: User, now: float) -> None:
    request = Request({"method": "GET", "path": PATH, "query_string": b""}, _nothing)
    request.user = user
    made.arrive(made.flow_of(user, request.info), 1, now).request = request


def lines(text: str) -> list[str]:
    assert text.endswith("\n")
    return text.splitlines()


def test_priority_levels() -> None:
    made = control(8)
    arrive(made, MASTER, 0.0)
    for _ in range(3):
        arrive(made, JANE, 0.0)
    header, *rows = lines(dump.priority_levels(made))
    assert header == (
        "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, DispatchedRequests, "
        "RejectedRequests, TimedoutRequests, CancelledRequests"
    )
    limit = made.levels["global-default"].limit
    assert rows[0] == (
        "catch-all,         0,            true,   false,       0,               0,                 0,                  "
        "0,                0,                0"
    )
    assert rows[2].startswith(f"global-default,    {3 - limit},            false,  false,       {3 - limit},  ")
    assert len(rows) == 8


def test_queues() -> None:
    made = control(8)
    for _ in range(3):
        arrive(made, JANE, 0.0)
    header, *rows = lines(dump.queues(made))
    assert header.split(", ")[-3:] == ["InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum"]
    cells = [[cell.strip() for cell in row.split(",")] for row in rows]
    assert len([row for row in cells if row[0] == "global-default"]) == 128
    assert sum(int(row[2]) for row in cells) + sum(int(row[3]) for row in cells) == 3
    waiting = next(row for row in cells if row[2] == "1")
    assert waiting[6:] == ["1", "1", "0.00300000ss"]


def test_requests() -> None:
    made = control(8)
    arrive(made, MASTER, 1.0)
    limit = made.levels["global-default"].limit
    for _ in range(limit + 1):
        arrive(made, JANE, 2.5)
    header, master, *rows = lines(dump.requests(made, lambda moment: moment, details=True))
    assert [cell.strip() for cell in header.split(",")] == [
        "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime",
        "InitialSeats", "FinalSeats", "AdditionalLatency", "StartTime", "UserName", "Verb", "APIPath", "Namespace",
        "Name", "APIVersion", "Resource", "SubResource",
    ]  # fmt: skip
    details = ["list", PATH, "shop", "", "v1", "pods", ""]
    assert [cell.strip() for cell in master.split(",")] == [
        "exempt", "exempt", "-1", "-1", "", "1970-01-01T00:00:01.000000Z", "1", "0", "0s",
        "1970-01-01T00:00:01.000000Z", "admin", *details,
    ]  # fmt: skip
    *running, waiting = ([cell.strip() for cell in row.split(",")] for row in rows)
    assert len(running) == limit
    assert all(row[3] == "-1" and row[4] == "jane" for row in running)
    assert waiting[3:10] == ["0", "jane", "1970-01-01T00:00:02.500000Z", "1", "0", "0s", "0001-01-01T00:00:00Z"]
    brief = lines(dump.requests(made, lambda moment: moment, details=False))
    assert brief[0].endswith(" StartTime")
