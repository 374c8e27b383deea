"""What a client is told of a command whose end Docker notes a moment after that of its output."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from client.clock import RealClock
from kubelet.server import containers
from kubelet.server.containers import Containers
from kubelet.server.streaming.channels import ERROR
from tests.unit.kubelet.pods import pod, running, seen
from tests.unit.kubelet.test_checks import Docker, Stream


class Node:
    """One pod with one container that runs."""

    def find(self, namespace: str, name: str) -> Any:
        return pod()

    def of_pod(self, uid: str) -> Any:
        return seen(running())


def door(*codes: int | None) -> Containers:
    docker: Any = Docker(Stream((1, b"said")), *codes)
    node: Any = Node()
    return Containers(docker, node, node, RealClock(), 60.0)


@asynccontextmanager
async def client(*codes: int | None) -> AsyncIterator[TestClient[Any, Any]]:
    app = web.Application()
    app.add_routes(door(*codes).routes())
    async with TestClient(TestServer(app)) as made:
        yield made


async def executed(*codes: int | None) -> dict[str, Any]:
    """The Status that `kubectl exec` is told at the end."""
    path = "/exec/default/web/app?command=false&output=true&error=true"
    async with client(*codes) as to, to.ws_connect(path, protocols=("v4.channel.k8s.io",)) as socket:
        *_, (channel, *told) = [message.data async for message in socket]
    assert channel == ERROR
    return dict(json.loads(bytes(told)))


async def run(*codes: int | None) -> tuple[int, str]:
    async with client(*codes) as to, to.post("/run/default/web/app?cmd=false") as answer:
        return answer.status, await answer.text()


async def test_a_failure_is_told_however_late_docker_notes_it() -> None:
    assert (await executed(None, None, 3))["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}
    assert (await executed(None, 0))["status"] == "Success"


async def test_run_fails_however_late_docker_notes_it() -> None:
    assert (await run(None, None, 3))[0] == 500
    assert await run(None, 0) == (200, "said")


async def test_a_command_that_closed_its_output_and_runs_on_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """dockershim/exec.go, ExecInContainer: it has not failed."""
    monkeypatch.setattr(containers, "_END_SECONDS", 0.05)
    assert (await executed(*[None] * 100))["status"] == "Success"
    assert await run(*[None] * 100) == (200, "said")
