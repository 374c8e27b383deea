from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.builtin import PODS
from client.clock import FakeClock, settle
from client.informer import Informer
from tests.unit.client.fake_server import FakeServer, listed, pod, status, watched

EXPIRED = ("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


class Story:
    """An informer on a scripted server, and what its handlers heard."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self.clock = FakeClock()
        self.server = FakeServer(self.clock, *script)
        self.informer = Informer(self.server.client, PODS, clock=self.clock)
        self.heard: list[str] = []
        self.informer.on_event(self._hear)

    def _hear(self, kind: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        obj = new or old
        assert obj is not None
        self.heard.append(f"{kind} {obj['metadata']['name']}@{obj['metadata']['resourceVersion']}")

    async def play(self, seconds: float = 30) -> None:
        task = asyncio.ensure_future(self.informer.run())
        await settle(200)
        step = 0.1
        while seconds > 0:
            await self.clock.run_for(step)
            await settle(40)
            seconds -= step
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled(), task.exception()


async def test_lists_from_any_cache_then_watches_from_there() -> None:
    story = Story(
        listed(5, pod("a", 3)),
        watched(("ADDED", pod("b", 6)), ("MODIFIED", pod("a", 7)), ("DELETED", pod("b", 8)), hang=True),
    )
    await story.play(1)
    assert story.heard == ["add a@3", "add b@6", "update a@7", "delete b@8"]
    first, second = story.server.queries()
    assert first == {"resourceVersion": "0"}
    assert (second["resourceVersion"], second["allowWatchBookmarks"]) == ("5", "true")
    assert story.informer.synced


async def test_a_broken_watch_resumes_from_the_last_revision_bookmarks_included() -> None:
    story = Story(
        listed(5),
        watched(("ADDED", pod("a", 6)), ("BOOKMARK", {"metadata": {"resourceVersion": "40"}})),
        httpx.ConnectError("refused"),
        httpx.ConnectError("refused"),
        httpx.ConnectError("refused"),
        watched(("MODIFIED", pod("a", 41)), hang=True),
    )
    await story.play(5)
    assert [q["resourceVersion"] for q in story.server.queries()] == ["0", "5", "40", "40", "40", "40"]
    assert story.heard == ["add a@6", "update a@41"]


async def test_expired_relists_and_handlers_hear_exactly_the_differences() -> None:
    story = Story(
        listed(5, pod("kept", 1), pod("changed", 2), pod("gone", 3), pod("reborn", 4, uid="old")),
        watched(EXPIRED),
        listed(50, pod("kept", 1), pod("changed", 22), pod("new", 33), pod("reborn", 44, uid="new")),
        watched(hang=True),
    )
    await story.play(5)
    assert story.heard[4:] == [
        "delete gone@3", "update changed@22", "add new@33", "delete reborn@4", "add reborn@44"
    ]  # fmt: skip
    assert story.server.queries()[2] == {"resourceVersion": "5"}


async def test_expired_at_the_start_of_a_watch_relists() -> None:
    story = Story(listed(5), status(410, "Expired"), listed(9, pod("a", 8)), watched(hang=True))
    await story.play(5)
    assert story.heard == ["add a@8"]


async def test_a_server_whose_past_was_replaced_is_listed_afresh() -> None:
    story = Story(listed(500), watched(EXPIRED), status(504, "Timeout"), listed(7), watched(hang=True))
    await story.play(5)
    assert [q.get("resourceVersion") for q in story.server.queries()] == ["0", "500", "500", None, "7"]


@pytest.mark.parametrize("answer", [httpx.ConnectError("refused"), status(401, "Unauthorized")], ids=str)
async def test_nothing_is_acted_on_before_the_first_list(answer: httpx.Response | Exception) -> None:
    story = Story(answer)
    await story.play(3)
    assert not story.informer.synced
    assert story.heard == []


async def test_attempts_on_a_dead_server_slow_down_to_two_seconds_and_no_further() -> None:
    story = Story(*[httpx.ReadTimeout("slow") for _ in range(100)])
    await story.play(60)
    assert 27 <= len(story.server.asked) <= 42


async def test_a_late_handler_hears_of_everything_there_is() -> None:
    story = Story(listed(5, pod("a", 3)), watched(hang=True))
    await story.play(1)
    late: list[str] = []
    story.informer.on_event(lambda kind, old, new: late.append(kind))
    assert late == ["add"]


async def test_a_failing_handler_does_not_stop_the_others() -> None:
    story = Story(listed(5, pod("a", 3)), watched(hang=True))
    story.informer._handlers.insert(0, lambda kind, old, new: 1 / 0)  # type: ignore[arg-type]
    await story.play(1)
    assert story.heard == ["add a@3"]
