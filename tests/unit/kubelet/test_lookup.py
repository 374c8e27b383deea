"""What pods refer to, fetched once for many askers, and remembered while the server is away."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from api.errors import Forbidden, NotFound, ServiceUnavailable
from api.meta import Obj
from client.clock import FakeClock
from client.http import ApiClient
from kubelet.pods.lookup import Lookup


class Server:
    def __init__(self) -> None:
        self.asked, self.error, self.stored = 0, Exception(), {"data": {"k": "1"}}

    async def get(self, res: Any, name: str, namespace: str) -> Obj:
        self.asked += 1
        if type(self.error) is not Exception:
            raise self.error
        return self.stored


class Node:
    def __init__(self) -> None:
        self.server, self.clock = Server(), FakeClock()
        self.lookup = Lookup(cast(ApiClient, self.server), self.clock)

    async def secret(self, after: float = 2.0) -> Obj | None:
        self.clock.advance(after)
        return await self.lookup.secret("default", "s")


async def test_askers_share_an_answer() -> None:
    node = Node()
    await asyncio.gather(*(node.secret(after=0) for _ in range(5)))
    assert node.server.asked == 1
    await node.secret(after=2)
    assert node.server.asked == 2


async def test_while_the_server_is_away_the_last_answer_serves() -> None:
    node = Node()
    assert await node.secret() == node.server.stored
    node.server.error = ServiceUnavailable("away")
    assert [await node.secret(), await node.secret(after=3600)] == [node.server.stored] * 2
    node.server.error = NotFound("gone")
    assert await node.secret() is None
    node.server.error = ServiceUnavailable("away")
    with pytest.raises(ServiceUnavailable):
        await node.secret()


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), Forbidden("not yours")])
async def test_what_was_never_seen_fails(error: Exception) -> None:
    node = Node()
    node.server.error = error
    with pytest.raises(type(error)):
        await node.secret()


async def test_what_is_refused_is_not_made_up_for() -> None:
    node = Node()
    await node.secret()
    node.server.error = Forbidden("no longer yours")
    with pytest.raises(Forbidden):
        await node.secret()
