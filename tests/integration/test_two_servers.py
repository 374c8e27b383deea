"""Two apiservers on one etcd: writers and watchers through both, while each of the three is killed under them.

What is checked is the recorded history: no update is lost, and every watcher sees every event once and in order
(https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from api.builtin import CONFIG_MAPS, NAMESPACES
from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.meta import Obj
from client.http import ApiClient
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually
from tests.harness.pki import Pki
from tests.harness.process import Process
from tests.integration.manifests import config_map

NS = "two-servers"
COUNTERS, WRITERS, EACH = 2, 4, 60
_AWAY = (500, 503, 504)


class Seen(NamedTuple):
    revision: int
    kind: str
    name: str
    number: str


class Cluster(NamedTuple):
    etcd: EtcdServer
    servers: tuple[ApiServer, ApiServer]
    clients: tuple[ApiClient, ApiClient]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    etcd = EtcdServer(tmp_path / "etcd", Pki(tmp_path / "pki"))
    servers = (ApiServer(tmp_path / "a", etcd), ApiServer(tmp_path / "b", etcd))
    processes: tuple[Process, ...] = (etcd, *servers)
    try:
        etcd.start()
        for server in servers:
            server.start(wait=False)
        for server in servers:
            await asyncio.to_thread(server.wait_ready)
        clients = (ApiClient(servers[0].admin()), ApiClient(servers[1].admin()))
        await clients[0].create(NAMESPACES, {"metadata": {"name": NS}})
        yield Cluster(etcd, servers, clients)
        for client in clients:
            await client.close()
    finally:
        for process in reversed(processes):
            process.stop()


class Writer:
    """Adds to the counters, one at a time, each addition exactly once, whatever answers get lost."""

    def __init__(self, number: int, clients: tuple[ApiClient, ApiClient]) -> None:
        self.name = f"writer-{number}"
        self.done = 0
        self._number = number
        self._clients = clients
        self._tries = 0

    @property
    def _client(self) -> ApiClient:
        """Its own server, and the other one when that has failed."""
        return self._clients[(self._number + self._tries) % 2]

    async def run(self) -> None:
        while self.done < EACH:
            counter = f"counter-{self.done % COUNTERS}"
            wanted = self.done // COUNTERS + 1
            while not await self._added(counter, wanted):
                pass
            self.done += 1

    async def _added(self, counter: str, wanted: int) -> bool:
        try:
            obj = await self._client.get(CONFIG_MAPS, counter, NS)
            data = obj["data"]
            if int(data.get(self.name, 0)) == wanted:
                return True  # the answer was lost, not the write
            data["n"] = str(int(data["n"]) + 1)
            data[self.name] = str(wanted)
            await self._client.update(CONFIG_MAPS, obj)
        except Conflict:
            return False
        except ApiError as error:
            assert error.code in _AWAY, error.message
            self._tries += 1
            await asyncio.sleep(0.05)
            return False
        return True


async def come_and_go(clients: tuple[ApiClient, ApiClient], stop: asyncio.Event) -> None:
    """Objects that are made through one server and removed through the other."""
    number = 0
    while not stop.is_set():
        name = f"passing-{number}"
        with contextlib.suppress(AlreadyExists, NotFound):
            try:
                await clients[number % 2].create(CONFIG_MAPS, config_map(name, {"n": "0"}, namespace=NS))
                await clients[(number + 1) % 2].delete(CONFIG_MAPS, name, NS)
            except ApiError as error:
                if error.code not in _AWAY:
                    raise
                await asyncio.sleep(0.05)
        number += 1


async def follow(client: ApiClient, revision: str, history: list[Seen]) -> None:
    """A watcher that goes on where it was when its server is lost. Nothing may be too old for it."""
    while True:
        try:
            async for kind, obj in client.watch(CONFIG_MAPS, NS, resource_version=revision):
                revision = obj["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    history.append(seen(kind, obj))
        except ApiError as error:
            assert error.code in _AWAY, error.message
            await asyncio.sleep(0.02)


def seen(kind: str, obj: Obj) -> Seen:
    metadata = obj["metadata"]
    return Seen(int(metadata["resourceVersion"]), kind, metadata["name"], obj["data"]["n"])


async def test_nothing_is_lost_or_told_twice_through_kills(cluster: Cluster) -> None:
    etcd, servers, clients = cluster
    for number in range(COUNTERS):
        await clients[0].create(CONFIG_MAPS, config_map(f"counter-{number}", {"n": "0"}, namespace=NS))
    begin = (await clients[0].list(CONFIG_MAPS, NS))["metadata"]["resourceVersion"]
    histories: list[list[Seen]] = [[] for _ in range(4)]
    watchers = [asyncio.create_task(follow(clients[i % 2], begin, h)) for i, h in enumerate(histories)]
    writers = [Writer(number, clients) for number in range(WRITERS)]
    stop = asyncio.Event()
    passing = asyncio.create_task(come_and_go(clients, stop))

    def written() -> int:
        return sum(writer.done for writer in writers)

    async def kill() -> None:
        for part, victim in enumerate((servers[0], etcd, servers[1]), start=1):
            goal = part * WRITERS * EACH // 4
            await eventually(lambda goal=goal: written() >= goal, "writes are under way", within=20, pause=0.005)
            victim.kill()
            victim.start(wait=False)
            await asyncio.to_thread(victim.wait_ready)

    try:
        async with asyncio.timeout(60):
            await asyncio.gather(kill(), *(writer.run() for writer in writers))
        stop.set()
        await passing
        found = {item["metadata"]["name"]: item["data"] for item in (await clients[1].list(CONFIG_MAPS, NS))["items"]}
        for number in range(COUNTERS):
            data = found[f"counter-{number}"]
            per_writer = {k: int(v) for k, v in data.items() if k != "n"}
            assert per_writer == {w.name: EACH // COUNTERS for w in writers}
            assert int(data["n"]) == sum(per_writer.values()), "an update was lost"
        last = await clients[0].create(CONFIG_MAPS, config_map("last", {"n": "0"}, namespace=NS))
        end = int(last["metadata"]["resourceVersion"])
        await eventually(
            lambda: all(h and h[-1].revision == end for h in histories), "the watchers saw the last event", within=15
        )
        for watcher in watchers:
            assert not watcher.done(), watcher.exception()
    finally:
        for task in (*watchers, passing):
            task.cancel()
        await asyncio.gather(*watchers, passing, return_exceptions=True)
    check(histories)


def check(histories: list[list[Seen]]) -> None:
    first = histories[0]
    for history in histories:
        revisions = [event.revision for event in history]
        assert revisions == sorted(set(revisions)), "out of order, or told twice"
        assert history == first, set(history) ^ set(first)
    for number in range(COUNTERS):
        values = [int(event.number) for event in first if event.name == f"counter-{number}"]
        assert values == list(range(1, WRITERS * EACH // COUNTERS + 1)), "an event is missing"
    kinds = Counter(event.kind for event in first if event.name.startswith("passing-"))
    assert kinds["ADDED"] >= 10
    alive: set[str] = set()
    for event in first:
        if event.kind == "ADDED":
            assert event.name not in alive
            alive.add(event.name)
        elif event.kind == "DELETED":
            alive.remove(event.name)
