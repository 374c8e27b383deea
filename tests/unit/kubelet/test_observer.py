"""What is known of containers, against a scripted Docker Engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from client.clock import FakeClock, settle
from kubelet.docker.inspection import Event
from kubelet.docker.labels import CONTAINER_NAME, POD_UID, RESTART_COUNT, SANDBOX_ID
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import Missing, Unreachable
from kubelet.pods.model import Container


class Engine:
    """`there` by id; `listed` is what its list says where that differs."""

    def __init__(self, *there: Container) -> None:
        self.there = {container.id: container for container in there}
        self.listed: dict[str, str] = {}
        self.away = False
        self.looks = 0
        self.told: asyncio.Queue[Event | None] = asyncio.Queue()

    async def containers(self) -> dict[str, str]:
        self._answer()
        return {c.id: self.listed.get(c.id, c.state) for c in self.there.values()}

    async def inspect(self, container_id: str) -> Container:
        self._answer()
        self.looks += 1
        if container_id not in self.there:
            raise Missing(container_id)
        return self.there[container_id]

    async def events(self, since: float) -> AsyncIterator[Event]:
        self._answer()
        while (event := await self.told.get()) is not None:
            yield event
        raise Unreachable("the stream broke")

    def _answer(self) -> None:
        if self.away:
            raise Unreachable("away")


@asynccontextmanager
async def watching(engine: Engine) -> AsyncIterator[tuple[Observer, FakeClock]]:
    clock = FakeClock()
    observer = Observer(cast(Any, engine), clock)
    task = asyncio.create_task(observer.run())
    await observer.wait_listed()
    yield observer, clock
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def running(**more: Any) -> Container:
    return Container("1", "u", "web", "default", "main", 0, "running", pid=7, **more)


def seen(observer: Observer) -> Container:
    found = observer.get("1")
    assert found is not None
    return found


async def test_an_end_that_was_told_holds_though_its_engine_forgot_it(tmp_path: Path) -> None:
    (tmp_path / "message").write_text("all done")
    engine = Engine(running(termination_log=str(tmp_path / "message")))
    async with watching(engine) as (observer, clock):
        engine.away = True
        await engine.told.put(Event("die", "1", {"exitCode": "0"}))
        await engine.told.put(None)
        ended = asyncio.create_task(observer.wait_exited("1"))
        await asyncio.wait_for(ended, 5)
        assert (seen(observer).state, seen(observer).exit_code, seen(observer).pid) == ("exited", 0, 0)
        assert seen(observer).message == "all done" and seen(observer).finished_at == clock.now()

        engine.there["1"] = replace(engine.there["1"], state="exited", exit_code=255, pid=0)
        engine.away = False
        await clock.run_for(120)
        await observer.refresh("1")
        assert (seen(observer).exit_code, seen(observer).message) == (0, "all done")


async def test_the_end_of_a_container_that_was_not_known_yet_is_told_by_its_labels() -> None:
    engine = Engine()
    labels = {POD_UID: "u", CONTAINER_NAME: "main", RESTART_COUNT: "2", SANDBOX_ID: "s"}
    async with watching(engine) as (observer, clock):
        engine.away = True
        await engine.told.put(Event("die", "1", {**labels, "exitCode": "3"}))
        await settle()
        (found,) = observer.of_pod("u").all()
        assert (found.name, found.attempt, found.sandbox_id, found.state, found.exit_code) == (
            "main",
            2,
            "s",
            "exited",
            3,
        )
        assert found.started_at == found.finished_at == clock.now()


async def test_an_end_without_a_code_waits_for_the_engine() -> None:
    engine = Engine(running())
    async with watching(engine) as (observer, clock):
        engine.away = True
        await engine.told.put(Event("die", "1", {}))
        await engine.told.put(None)
        await settle()
        assert seen(observer).running
        engine.away = False
        engine.there["1"] = replace(engine.there["1"], state="exited", exit_code=255, pid=0)
        await clock.run_for(10)
        assert seen(observer).exit_code == 255


async def test_what_has_ended_is_not_looked_at_again_though_the_list_calls_it_created() -> None:
    """See kubelet/docker/inspection.py."""
    engine = Engine(replace(running(), state="exited"))
    engine.listed["1"] = "created"
    async with watching(engine) as (_, clock):
        assert engine.looks == 1
        await clock.run_for(300)
        assert engine.looks == 1


async def test_what_somebody_started_again_runs() -> None:
    engine = Engine(replace(running(), state="exited", exit_code=3))
    async with watching(engine) as (observer, _):
        engine.there["1"] = running()
        await observer.refresh("1")
        assert seen(observer).running
