"""What uses quotas, written through two servers that share one etcd: never too much, whoever is faster or gives up."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import orjson
import pytest

from api.builtin import BUILTIN, CONFIG_MAPS, RESOURCE_QUOTAS
from api.errors import Conflict, Forbidden, ServiceUnavailable
from api.meta import Obj
from api.quota import measure
from api.registry import Resource
from apiserver.admission.quota.ledger import Ledger
from apiserver.storage import keys
from apiserver.storage.collection import Listener
from apiserver.storage.decode import decode
from apiserver.storage.etcd import KeyValue, Outcome, Txn
from apiserver.storage.store import Store
from tests.unit.apiserver.test_quota import stored_quota, want


class Etcd:
    """Keys with revisions; answers and news take their time, differently each time."""

    def __init__(self) -> None:
        self.revision = 0
        self.objects: dict[str, KeyValue] = {}
        self.txns: list[Txn] = []
        self.servers: list[Server] = []
        self.away = False
        self.asked = asyncio.Event()

    async def txn(self, txn: Txn) -> Outcome:
        self.asked.set()
        await asyncio.sleep(random.random() / 1000)
        if self.away:
            raise ServiceUnavailable("etcd is not available")
        self.txns.append(txn)
        assert len(txn.at) <= 128
        if any(self._revision(key) != revision for key, revision in txn.at.items()):
            outcome = Outcome(False, self.revision, {key: self.objects.get(key) for key in txn.at})
        else:
            self.revision += 1
            for key, value in txn.put.items():
                self.objects[key] = KeyValue(key, value, self.revision, 1)
                for server in self.servers:
                    server.tell_later(key, value, self.revision)
            outcome = Outcome(True, self.revision, {})
        await asyncio.sleep(random.random() / 1000)
        return outcome

    def _revision(self, key: str) -> int:
        found = self.objects.get(key)
        return found.revision if found else 0

    def write(self, res: Resource, obj: Obj) -> None:
        path = keys.path(res, obj["metadata"]["namespace"], obj["metadata"]["name"])
        self.revision += 1
        self.objects[path] = KeyValue(path, orjson.dumps(obj), self.revision, 1)
        for server in self.servers:
            server.tell_later(path, self.objects[path].value, self.revision)

    def status(self, name: str = "q") -> Any:
        return orjson.loads(self.objects[keys.path(RESOURCE_QUOTAS, "a", name)].value)["status"]

    def count(self, res: Resource) -> int:
        return sum(1 for key in self.objects if key.startswith(f"/registry/{keys.collection(res)}/"))


class Server:
    """The part of a Store that the ledger uses."""

    def __init__(self, etcd: Etcd) -> None:
        self.etcd = etcd
        self.listener: Listener = lambda key, stored: None
        self.seen = 0
        self.news: list[tuple[int, str, bytes]] = []
        self.lists = 0
        etcd.servers.append(self)
        self.ledger = Ledger(cast(Store, self))

    def listen(self, res: Resource, listener: Listener) -> None:
        self.listener = listener

    def tell_later(self, path: str, value: bytes, revision: int) -> None:
        self.news.append((revision, path, value))
        asyncio.get_running_loop().call_later(random.random() / 200, self._tell, revision)

    def _tell(self, revision: int) -> None:
        while self.news and self.news[0][0] <= revision:
            at, path, value = self.news.pop(0)
            key = keys.parse(path)
            if key is not None and key.collection == keys.collection(RESOURCE_QUOTAS):
                self.listener(key.local, decode(BUILTIN, key.local, value, at))

    async def list(self, res: Resource, namespace: str) -> None:
        self.lists += 1
        revision = self.etcd.revision
        await asyncio.sleep(0.001)
        self._tell(revision)

    async def put(self, operation: str, res: Resource, txn: Txn) -> Outcome:
        return await self.etcd.txn(txn)

    async def create(self, name: str, res: Resource = CONFIG_MAPS) -> bool:
        """Whether it was made; Forbidden."""
        wanted, path = want(res, {"metadata": {"name": name, "namespace": "a"}}, name=name), keys.path(res, "a", name)
        txn = Txn({path: 0}, {path: b'{"metadata":{}}'})
        return (await self.ledger.writer(wanted)("create", res, txn)).succeeded


async def one_server(used: str = "0", hard: str = "9") -> tuple[Etcd, Server]:
    """Of config maps; it has heard of the quota."""
    etcd = Etcd()
    server = Server(etcd)
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": used}, {"configmaps": hard}))
    await asyncio.sleep(0.02)
    return etcd, server


async def test_two_servers_never_let_in_too_many() -> None:
    etcd = Etcd()
    servers = [Server(etcd), Server(etcd)]
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "50"}))
    etcd.write(RESOURCE_QUOTAS, stored_quota({"count/configmaps": "7"}, {"count/configmaps": "900"}, "wide"))
    await asyncio.sleep(0.02)
    made = await asyncio.gather(*(servers[n % 2].create(f"c{n}") for n in range(200)), return_exceptions=True)
    assert [one for one in made if one is True] == [True] * 50
    refused = [one for one in made if isinstance(one, Forbidden)]
    assert len(refused) == 150
    assert "exceeded quota: q, requested: configmaps=1, used: configmaps=50, limited: configmaps=50" in str(refused[0])
    assert etcd.count(CONFIG_MAPS) == 50
    assert etcd.status()["used"] == {"configmaps": "50"}
    assert etcd.status("wide")["used"] == {"count/configmaps": "57"}
    assert len(etcd.txns) < 40  # many share one


async def test_who_loses_a_name_does_not_pay() -> None:
    etcd, server = await one_server()
    made = await asyncio.gather(*(server.create(f"c{n % 5}") for n in range(20)))
    assert made.count(True) == 5
    assert etcd.status()["used"] == {"configmaps": "5"}


async def test_an_answer_is_no_older_than_the_question() -> None:
    """The quota was just raised through another server, of which this one has not heard."""
    etcd, server = await one_server("1", "1")
    etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "1"}, {"configmaps": "2"}))
    assert await server.create("c")
    assert server.lists == 1
    with pytest.raises(Forbidden):
        await server.create("d")


async def test_a_quota_that_goes_limits_no_more() -> None:
    etcd, server = await one_server()
    del etcd.objects[keys.path(RESOURCE_QUOTAS, "a", "q")]
    assert await server.create("c")
    assert etcd.count(CONFIG_MAPS) == 1
    server.listener("a/q", None)
    counted = measure("", "configmaps")
    assert counted is not None and not server.ledger.tracks("a", counted)


async def test_without_etcd_nothing_comes_in() -> None:
    etcd, server = await one_server()
    etcd.away = True
    made = await asyncio.gather(*(server.create(f"c{n}") for n in range(3)), return_exceptions=True)
    assert all(isinstance(one, ServiceUnavailable) for one in made)
    etcd.away = False
    assert await server.create("c")


async def test_who_gives_up_waiting_does_not_pay() -> None:
    etcd, server = await one_server()
    first = asyncio.create_task(server.create("a"))
    await etcd.asked.wait()
    late = asyncio.create_task(server.create("b"))
    await asyncio.sleep(0)
    late.cancel()
    assert await first
    with pytest.raises(asyncio.CancelledError):
        await late
    assert await server.create("c")
    assert etcd.status()["used"] == {"configmaps": "2"}


async def test_a_quota_that_never_rests_is_a_conflict() -> None:
    etcd, server = await one_server()
    real = etcd.txn

    async def beaten(txn: Txn) -> Outcome:
        etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "0"}, {"configmaps": "9"}))
        return await real(txn)

    etcd.txn = beaten  # type: ignore[method-assign]  # another server is always faster
    with pytest.raises(Conflict, match='cannot be fulfilled on resourcequotas "q"'):
        await server.create("c")
    assert etcd.count(CONFIG_MAPS) == 0


async def test_news_may_be_faster_than_the_answer() -> None:
    """A quota that went right after it was written with an object must not come back, full, and refuse for ever."""
    etcd, server = await one_server(used="0", hard="1")
    real, path = etcd.txn, keys.path(RESOURCE_QUOTAS, "a", "q")

    async def late(txn: Txn) -> Outcome:
        outcome = await real(txn)
        del etcd.objects[path]
        server.listener("a/q", None)
        return outcome

    etcd.txn = late  # type: ignore[method-assign]  # somebody deletes it before the answer is here
    assert await server.create("c")
    etcd.txn = real  # type: ignore[method-assign]
    assert await server.create("d")


async def test_news_of_a_newer_quota_are_kept() -> None:
    """It had gone when the write failed, and has come again before the answer."""
    etcd, server = await one_server()
    real, path = etcd.txn, keys.path(RESOURCE_QUOTAS, "a", "q")
    del etcd.objects[path]

    async def late(txn: Txn) -> Outcome:
        outcome = await real(txn)
        if path in txn.at and path not in etcd.objects:
            etcd.write(RESOURCE_QUOTAS, stored_quota({"configmaps": "9"}, {"configmaps": "9"}))
            await asyncio.sleep(0.02)
        return outcome

    etcd.txn = late  # type: ignore[method-assign]
    with pytest.raises(Forbidden):
        await server.create("c")
