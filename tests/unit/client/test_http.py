from __future__ import annotations

import asyncio

import httpx
import orjson
import pytest

from api import errors
from api.builtin import PODS
from client.clock import FakeClock, settle
from tests.unit.client.fake_server import FakeServer, Pieces, pod, status, watched


async def test_a_refused_get_is_tried_again_a_refused_write_is_not() -> None:
    clock = FakeClock()
    server = FakeServer(clock, httpx.ConnectError("refused"), httpx.Response(200, json=pod("a", 1)))
    task = asyncio.ensure_future(server.client.get(PODS, "a", "ns"))
    await clock.run_for(1)
    assert (await task)["metadata"]["name"] == "a"
    server = FakeServer(clock, httpx.ConnectError("refused"))
    with pytest.raises(errors.ServiceUnavailable, match="refused"):
        await server.client.create(PODS, pod("a", 1))


async def test_no_answer_in_time_is_a_timeout_since_a_write_may_have_happened() -> None:
    server = FakeServer(FakeClock(), httpx.ReadTimeout(""))
    with pytest.raises(errors.Timeout):
        await server.client.update(PODS, pod("a", 1))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(404, "NotFound"), errors.NotFound),
        (status(409, "AlreadyExists"), errors.AlreadyExists),
        (status(409, "Conflict"), errors.Conflict),
        (status(422, "Invalid"), errors.Invalid),
        (httpx.Response(502, text="<html>"), errors.ApiError),
        (httpx.Response(200, text="<html>"), errors.InternalError),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_failures_are_api_errors(answer: httpx.Response, error: type[errors.ApiError]) -> None:
    with pytest.raises(error):
        await FakeServer(FakeClock(), answer).client.create(PODS, pod("a", 1))


async def test_a_busy_server_is_asked_again_when_it_said() -> None:
    clock = FakeClock()
    busy = httpx.Response(429, headers={"Retry-After": "3"}, json={"reason": "TooManyRequests"})
    server = FakeServer(clock, busy, httpx.Response(201, json=pod("a", 1)))
    task = asyncio.ensure_future(server.client.create(PODS, pod("a", 1)))
    await clock.run_for(2.9)
    assert len(server.asked) == 1
    await clock.run_for(0.2)
    await settle()
    assert (await task)["metadata"]["name"] == "a"


async def test_delete_sends_its_preconditions_and_grace() -> None:
    server = FakeServer(FakeClock(), httpx.Response(200, json={}))
    await server.client.delete(PODS, "a", "ns", grace_period=0, uid="u", propagation="Background")
    assert orjson.loads(server.asked[0].content) == {
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u"}, "propagationPolicy": "Background",
    }  # fmt: skip


@pytest.mark.parametrize("cut", [1, 10, 1000], ids=str)
async def test_watch_lines_survive_any_fragmentation(cut: int) -> None:
    events = [("ADDED", pod(f"p{i}", i)) for i in range(5)]
    server = FakeServer(FakeClock(), watched(*events, cut=cut))
    got = [(type_, obj) async for type_, obj in server.client.watch(PODS, "ns", labels="a=b")]
    assert got == events
    assert server.queries()[0]["labelSelector"] == "a=b"


async def test_a_line_cut_off_by_a_lost_connection_is_not_an_event() -> None:
    body = [b'{"type":"ADDED","object":{}}\n{"type":"AD']
    server = FakeServer(FakeClock(), httpx.Response(200, stream=Pieces(body, hang=False)))
    assert [type_ async for type_, _ in server.client.watch(PODS)] == ["ADDED"]
