"""Storage against a real etcd that compacts, dies and comes back. No apiserver process."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.builtin import BUILTIN, CONFIG_MAPS, EVENTS, SERVICES
from api.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Expired,
    NotFound,
    ServiceUnavailable,
    Timeout,
)
from api.meta import Obj
from api.registry import Hooks, Resource
from api.selectors import parse_labels
from apiserver.storage.compaction import Compactor
from apiserver.storage.etcd import Compacted, Etcd, Txn
from apiserver.storage.store import ClaimTaken, Store, Watch
from apiserver.storage.stored import Stored, WatchEvent
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually
from tests.harness.pki import Pki
from tests.harness.process import free_port

HELD = Resource(
    "", "v1", "Service", "services", "service", True,
    hooks=Hooks(claims=lambda obj: {f"address/{a}" for a in obj["spec"].get("addresses", [])}),
)  # fmt: skip


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    directory = tmp_path_factory.mktemp("storage")
    server = EtcdServer(directory / "etcd", Pki(directory / "pki"))
    server.start()
    yield server
    server.stop()


async def started(server: EtcdServer) -> Store:
    store = Store(
        BUILTIN,
        endpoints=[server.url],
        ca_file=server.ca_file,
        cert_file=server.cert_file,
        key_file=server.key_file,
    )
    await store.start()
    return store


@pytest.fixture
async def store(etcd: EtcdServer) -> AsyncIterator[Store]:
    if not etcd.alive:
        etcd.start()
    store = await started(etcd)
    await asyncio.wait_for(store.wait_ready(), 10)
    yield store
    await store.stop()


@pytest.fixture
async def raw(etcd: EtcdServer) -> AsyncIterator[Etcd]:
    client = Etcd([etcd.url], ca_file=etcd.ca_file, cert_file=etcd.cert_file, key_file=etcd.key_file)
    yield client
    await client.close()


@pytest.fixture
def ns(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name.replace('_', '-')[:40]}-{time.monotonic_ns()}"


def config(ns: str, name: str, *, data: dict[str, str] | None = None, **labels: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": ns, "uid": f"{ns}-{name}-{time.monotonic_ns()}", "labels": labels},
        "data": data or {"n": "0"},
    }  # fmt: skip


def counted(obj: Obj) -> Obj:
    obj["data"]["n"] = str(int(obj["data"]["n"]) + 1)
    return obj


class Listener:
    """Collects the events of a watch until it is closed."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.events: list[WatchEvent] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for event in self.watch:
            self.events.append(event)

    @property
    def over(self) -> bool:
        return self._task.done()

    def told(self) -> list[tuple[str, str, int]]:
        return [(e.type, e.obj()["metadata"]["name"], e.revision) for e in self.events if e.type != "BOOKMARK"]

    async def close(self) -> None:
        self.watch.close()
        await self._task


async def surely(write: Any) -> Any:
    """Repeat a write until it is acknowledged. AlreadyExists counts: the lost answer was a success."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return await write()
        except AlreadyExists:
            return None
        except (ServiceUnavailable, Timeout):
            assert time.monotonic() < deadline, "etcd did not come back"
            await asyncio.sleep(0.05)


# ---- one object


async def test_who_asks_before_there_is_anything_does_not_keep_it_from_coming(
    etcd: EtcdServer, store: Store, ns: str
) -> None:
    await store.create(CONFIG_MAPS, config(ns, "a"))
    other = await started(etcd)
    try:
        assert other.peek(CONFIG_MAPS, ns, "a") is None
        assert other.count(CONFIG_MAPS) == 0
        await asyncio.wait_for(other.wait_ready(), 10)
        assert other.peek(CONFIG_MAPS, ns, "a") is not None
        assert other.count(CONFIG_MAPS, ns) == 1
    finally:
        await other.stop()


async def test_an_object_lives(store: Store, ns: str) -> None:
    made = await store.create(CONFIG_MAPS, config(ns, "a", app="web"))
    assert made.raw.startswith(b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{')
    assert made.obj()["metadata"]["resourceVersion"] == str(made.revision)
    assert (await store.get(CONFIG_MAPS, ns, "a")).raw == made.raw
    with pytest.raises(AlreadyExists) as taken:
        await store.create(CONFIG_MAPS, config(ns, "a"))
    assert taken.value.message == 'configmaps "a" already exists'
    changed = await store.update(CONFIG_MAPS, ns, "a", counted)
    assert changed.revision > made.revision
    assert (await store.get(CONFIG_MAPS, ns, "a", resource_version="0")).obj()["data"] == {"n": "1"}
    gone = await store.delete(CONFIG_MAPS, ns, "a")
    assert gone.revision > changed.revision
    assert gone.obj()["metadata"]["resourceVersion"] == str(gone.revision)
    for call in (store.get, store.delete):
        with pytest.raises(NotFound) as missing:
            await call(CONFIG_MAPS, ns, "a")
        assert missing.value.message == 'configmaps "a" not found'
    with pytest.raises(NotFound):
        await store.update(CONFIG_MAPS, ns, "a", counted)


async def test_preconditions_hold(store: Store, ns: str) -> None:
    made = await store.create(CONFIG_MAPS, config(ns, "a"))
    await store.update(CONFIG_MAPS, ns, "a", counted, resource_version=str(made.revision))
    with pytest.raises(Conflict) as stale:
        await store.update(CONFIG_MAPS, ns, "a", counted, resource_version=str(made.revision))
    assert "the object has been modified; please apply your changes" in stale.value.message
    with pytest.raises(Conflict) as other:
        await store.update(CONFIG_MAPS, ns, "a", counted, uid="another")
    assert "Precondition failed: UID in precondition: another, UID in object meta:" in other.value.message


async def test_a_change_that_changes_nothing_writes_nothing(store: Store, ns: str) -> None:
    made = await store.create(CONFIG_MAPS, config(ns, "a"))
    assert (await store.update(CONFIG_MAPS, ns, "a", lambda obj: obj)).revision == made.revision
    assert (await store.update(CONFIG_MAPS, ns, "a", lambda obj: None)).revision == made.revision


async def test_a_refusal_changes_nothing(store: Store, ns: str) -> None:
    made = await store.create(CONFIG_MAPS, config(ns, "a"))

    def refuse(_: Obj) -> Obj:
        raise BadRequest("no")

    with pytest.raises(BadRequest):
        await store.update(CONFIG_MAPS, ns, "a", refuse)
    with pytest.raises(BadRequest):
        await store.delete(CONFIG_MAPS, ns, "a", guard=refuse)  # type: ignore[arg-type]  # only raises
    assert (await store.get(CONFIG_MAPS, ns, "a")).revision == made.revision


async def test_concurrent_writers_lose_nothing(store: Store, etcd: EtcdServer, ns: str) -> None:
    other = await started(etcd)
    await other.wait_ready()
    try:
        await store.create(CONFIG_MAPS, config(ns, "a"))

        async def write(through: Store) -> None:
            for _ in range(10):
                await through.update(CONFIG_MAPS, ns, "a", counted)

        await asyncio.gather(*(write(s) for s in (store, other) for _ in range(5)))
        for reader in (store, other):
            assert (await reader.get(CONFIG_MAPS, ns, "a")).obj()["data"]["n"] == "100"
    finally:
        await other.stop()


async def test_a_read_sees_what_another_server_acknowledged(store: Store, etcd: EtcdServer, ns: str) -> None:
    other = await started(etcd)
    await other.wait_ready()
    try:
        for i in range(30):
            await other.create(CONFIG_MAPS, config(ns, f"c{i}"))
            assert len((await store.list(CONFIG_MAPS, ns)).items) == i + 1
            await store.get(CONFIG_MAPS, ns, f"c{i}")
    finally:
        await other.stop()


async def test_other_users_of_this_etcd_do_not_block_reads(store: Store, raw: Etcd, ns: str) -> None:
    await raw.txn(Txn({}, {"/somebody/else": b"x"}))
    began = time.monotonic()
    assert (await store.list(CONFIG_MAPS, ns)).items == []
    assert time.monotonic() - began < 2


# ---- claims


def holder(ns: str, name: str, *addresses: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": ns},
        "spec": {"addresses": list(addresses)},
    }


async def test_a_claim_has_one_holder_under_concurrency(store: Store, etcd: EtcdServer, ns: str) -> None:
    other = await started(etcd)
    await other.wait_ready()
    outcomes: Counter[str] = Counter()

    async def attempt(i: int) -> None:
        try:
            await (store, other)[i % 2].create(HELD, holder(ns, f"s{i}", f"{ns}-1"))
            outcomes["held"] += 1
        except ClaimTaken as taken:
            assert taken.claim == f"address/{ns}-1"
            outcomes["taken"] += 1

    try:
        await asyncio.gather(*(attempt(i) for i in range(20)))
    finally:
        await other.stop()
    assert outcomes == {"held": 1, "taken": 19}
    assert len((await store.list(SERVICES, ns)).items) == 1


async def test_claims_move_with_their_object(store: Store, ns: str) -> None:
    await store.create(HELD, holder(ns, "a", f"{ns}-1"))
    await store.create(HELD, holder(ns, "b", f"{ns}-2"))

    def move(obj: Obj) -> Obj:
        obj["spec"]["addresses"] = [f"{ns}-2"]
        return obj

    with pytest.raises(ClaimTaken):
        await store.update(HELD, ns, "a", move)
    await store.delete(HELD, ns, "b")
    await store.update(HELD, ns, "a", move)
    await store.create(HELD, holder(ns, "c", f"{ns}-1"))
    with pytest.raises(ClaimTaken):
        await store.create(HELD, holder(ns, "d", f"{ns}-2"))


# ---- lists


async def test_pages_show_one_moment(store: Store, ns: str) -> None:
    for i in range(7):
        await store.create(CONFIG_MAPS, config(ns, f"c{i}"))
    first = await store.list(CONFIG_MAPS, ns, limit=3)
    assert ([s.name for s in first.items], first.remaining) == (["c0", "c1", "c2"], 4)
    await store.delete(CONFIG_MAPS, ns, "c4")
    await store.create(CONFIG_MAPS, config(ns, "c3a"))
    await store.update(CONFIG_MAPS, ns, "c5", counted)
    second = await store.list(CONFIG_MAPS, ns, limit=3, continue_token=first.continue_token)
    assert ([s.name for s in second.items], second.remaining) == (["c3", "c4", "c5"], 1)
    assert second.items[2].obj()["data"] == {"n": "0"}
    third = await store.list(CONFIG_MAPS, ns, limit=3, continue_token=second.continue_token)
    assert [s.name for s in third.items] == ["c6"]
    assert (third.continue_token, third.revision) == ("", first.revision)


async def test_an_exact_revision_comes_from_etcd_when_the_cache_is_too_young(
    store: Store, etcd: EtcdServer, raw: Etcd, ns: str
) -> None:
    for i in range(5):
        last = await store.create(CONFIG_MAPS, config(ns, f"c{i}", app="odd" if i % 2 else "even"))
    await store.delete(CONFIG_MAPS, ns, "c2")
    for i in range(1100):  # beyond what a starting server reads back
        await raw.txn(Txn({}, {"/registry/.nudge": str(i).encode()}))
    other = await started(etcd)
    await other.wait_ready()
    try:
        version = str(last.revision)
        page = await other.list(CONFIG_MAPS, ns, resource_version=version, match="Exact", limit=2)
        assert ([s.name for s in page.items], page.remaining) == (["c0", "c1"], 3)
        rest = await other.list(CONFIG_MAPS, ns, continue_token=page.continue_token)
        assert [s.name for s in rest.items] == ["c2", "c3", "c4"]
        odd = parse_labels("app=odd")
        page = await other.list(CONFIG_MAPS, ns, resource_version=version, match="Exact", limit=1, labels=odd)
        assert ([s.name for s in page.items], page.remaining) == (["c1"], None)
        watch = await other.watch(CONFIG_MAPS, ns, resource_version=version)
        events = [event async for event in watch]
        assert [e.type for e in events] == ["ERROR"]
        assert events[0].obj()["reason"] == "Expired"

        await raw.compact((await other.get(CONFIG_MAPS, ns, "c4")).revision + 500)
        with pytest.raises(Expired) as gone:
            await other.list(CONFIG_MAPS, ns, resource_version=version, match="Exact")
        assert gone.value.message == "The resourceVersion for the provided list is too old."
        with pytest.raises(Expired) as gone:
            await other.list(CONFIG_MAPS, ns, continue_token=page.continue_token)
        again = await other.list(CONFIG_MAPS, ns, continue_token=gone.value.status()["metadata"]["continue"])
        assert [s.name for s in again.items] == ["c3", "c4"]
    finally:
        await other.stop()


async def test_a_revision_from_the_future_times_out(store: Store, ns: str) -> None:
    future = str(await store.current_revision() + 1000)
    late = await asyncio.gather(
        store.list(CONFIG_MAPS, ns, resource_version=future),
        store.list(CONFIG_MAPS, ns, resource_version=future, match="Exact"),
        store.get(CONFIG_MAPS, ns, "a", resource_version=future),
        return_exceptions=True,
    )
    for error in late:
        assert isinstance(error, Timeout)
        assert f"Too large resource version: {future}, current:" in error.message


# ---- watches


async def test_watchers_get_every_event_once_and_in_order(store: Store, ns: str) -> None:
    start = str(await store.current_revision())
    listeners = [Listener(await store.watch(CONFIG_MAPS, ns, resource_version=start)) for _ in range(5)]
    for i in range(20):
        await store.create(CONFIG_MAPS, config(ns, f"c{i}"))
        await store.update(CONFIG_MAPS, ns, f"c{i}", counted)
        await store.delete(CONFIG_MAPS, ns, f"c{i}")
    late = Listener(await store.watch(CONFIG_MAPS, ns, resource_version=start))
    for listener in [*listeners, late]:
        await eventually(lambda one=listener: len(one.events) == 60, "all events arrived")  # type: ignore[misc]
        assert [e.type for e in listener.events] == ["ADDED", "MODIFIED", "DELETED"] * 20
        revisions = [e.revision for e in listener.events]
        assert revisions == sorted(set(revisions))
        await listener.close()


async def test_watch_list_marks_where_the_state_ends(store: Store, ns: str) -> None:
    await store.create(CONFIG_MAPS, config(ns, "a"))
    listener = Listener(
        await store.watch(CONFIG_MAPS, ns, match="NotOlderThan", send_initial=True, bookmarks=True, timeout=60)
    )
    await eventually(lambda: len(listener.events) == 2, "state and bookmark")
    assert [e.type for e in listener.events] == ["ADDED", "BOOKMARK"]
    assert listener.events[1].obj()["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    await store.create(CONFIG_MAPS, config(ns, "b"))
    await eventually(lambda: len(listener.events) == 3, "news after the bookmark")
    await listener.close()


async def test_a_broken_etcd_loses_no_event_and_no_write(store: Store, etcd: EtcdServer, ns: str) -> None:
    """kill -9 of etcd, twice, under writers: watchers get every event once and in order, and every
    acknowledged write is there."""
    start = str(await store.current_revision())
    listeners = [Listener(await store.watch(CONFIG_MAPS, ns, resource_version=start)) for _ in range(3)]
    acknowledged: list[str] = []
    broken = asyncio.Event()

    async def write(writer: int) -> None:
        for i in range(60):
            name = f"w{writer}-{i}"
            await surely(lambda n=name: store.create(CONFIG_MAPS, config(ns, n)))
            acknowledged.append(name)
            if len(acknowledged) in (60, 150):
                broken.set()

    async def break_it() -> None:
        for _ in range(2):
            await broken.wait()
            broken.clear()
            etcd.kill()
            etcd.start(wait=False)
            await asyncio.to_thread(etcd.wait_ready)

    await asyncio.gather(break_it(), *(write(w) for w in range(4)))
    page = await surely(lambda: store.list(CONFIG_MAPS, ns))
    there = {s.name: s.revision for s in page.items}
    assert set(acknowledged) <= set(there)
    for listener in listeners:
        await eventually(lambda one=listener: len(one.events) >= len(there), "all events", within=15)  # type: ignore[misc]
        expected = sorted((("ADDED", name, rev) for name, rev in there.items()), key=lambda e: e[2])
        assert listener.told() == expected
        await listener.close()


async def test_without_etcd_stale_reads_go_on_and_the_rest_fails_quickly(
    store: Store, etcd: EtcdServer, ns: str
) -> None:
    await store.create(CONFIG_MAPS, config(ns, "a"))
    etcd.kill()
    await eventually(lambda: not store.ready, "the loss is noticed")
    with pytest.raises(ServiceUnavailable):
        store.check()
    assert (await store.get(CONFIG_MAPS, ns, "a", resource_version="0")).name == "a"
    assert len((await store.list(CONFIG_MAPS, ns, resource_version="0")).items) == 1
    began = time.monotonic()
    for call in (
        store.get(CONFIG_MAPS, ns, "a"),
        store.list(CONFIG_MAPS, ns),
        store.create(CONFIG_MAPS, config(ns, "b")),
        store.update(CONFIG_MAPS, ns, "a", counted),
        store.delete(CONFIG_MAPS, ns, "a"),
    ):
        with pytest.raises((ServiceUnavailable, Timeout)):
            await call
    assert time.monotonic() - began < 10
    etcd.start()
    await eventually(lambda: store.ready, "the watch is back", within=10)
    assert (await store.get(CONFIG_MAPS, ns, "a")).name == "a"


async def test_a_frozen_etcd_is_a_timeout_not_a_hang(store: Store, etcd: EtcdServer, ns: str) -> None:
    await store.create(CONFIG_MAPS, config(ns, "a"))
    os.kill(etcd.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        reading, writing, stale = await asyncio.gather(
            store.get(CONFIG_MAPS, ns, "a"),
            store.create(CONFIG_MAPS, config(ns, "b")),
            store.get(CONFIG_MAPS, ns, "a", resource_version="0"),
            return_exceptions=True,
        )
        assert isinstance(reading, Timeout)
        assert isinstance(writing, Timeout)
        assert isinstance(stale, Stored)
        assert time.monotonic() - began < 8
    finally:
        os.kill(etcd.pid, signal.SIGCONT)
    assert (await surely(lambda: store.get(CONFIG_MAPS, ns, "a"))).name == "a"


async def test_of_several_endpoints_a_live_one_is_found(etcd: EtcdServer, ns: str) -> None:
    dead = f"https://127.0.0.1:{free_port()}"
    store = Store(
        BUILTIN,
        endpoints=[dead, etcd.url],
        ca_file=etcd.ca_file,
        cert_file=etcd.cert_file,
        key_file=etcd.key_file,
    )
    await store.start()
    try:
        await asyncio.wait_for(store.wait_ready(), 10)
        await store.create(CONFIG_MAPS, config(ns, "a"))
        store._etcd._current = 0
        await store._etcd.close()  # the next call meets the dead one
        assert (await store.get(CONFIG_MAPS, ns, "a")).name == "a"
        await eventually(lambda: store.ready, "the watch is back")
    finally:
        await store.stop()


async def test_history_compacted_while_away_is_made_up_for(
    etcd: EtcdServer, raw: Etcd, ns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch breaks, others write and compact; then it goes on. Watchers get the difference."""
    store = await started(etcd)
    await store.wait_ready()
    other = await started(etcd)
    await other.wait_ready()
    try:
        for name in ("kept", "changed", "removed", "replaced"):
            await store.create(CONFIG_MAPS, config(ns, name))
        start = (await store.list(CONFIG_MAPS, ns)).revision
        listener = Listener(await store.watch(CONFIG_MAPS, ns, resource_version=str(start)))
        let_go = asyncio.Event()
        reopen = store._cache._follow

        async def held_back() -> None:
            await let_go.wait()
            await reopen()

        monkeypatch.setattr(store._cache, "_follow", held_back)
        await store._etcd.close()
        await eventually(lambda: not store.ready, "the watch is broken")
        await other.update(CONFIG_MAPS, ns, "changed", counted)
        await other.delete(CONFIG_MAPS, ns, "removed")
        await other.delete(CONFIG_MAPS, ns, "replaced")
        await other.create(CONFIG_MAPS, config(ns, "replaced"))
        added = await other.create(CONFIG_MAPS, config(ns, "added"))
        await raw.compact(added.revision)
        let_go.set()
        await eventually(lambda: len(listener.events) == 5, "the difference arrived")
        told = [(kind, name) for kind, name, _ in listener.told()]
        assert sorted(told) == [
            ("ADDED", "added"),
            ("ADDED", "replaced"),
            ("DELETED", "removed"),
            ("DELETED", "replaced"),
            ("MODIFIED", "changed"),
        ]
        assert told.index(("DELETED", "replaced")) < told.index(("ADDED", "replaced"))
        revisions = [revision for _, _, revision in listener.told()]
        assert revisions == sorted(revisions)
        assert [s.name for s in (await store.list(CONFIG_MAPS, ns)).items] == [
            "added", "changed", "kept", "replaced",
        ]  # fmt: skip
        await listener.close()
        late = [event async for event in await store.watch(CONFIG_MAPS, ns, resource_version=str(start))]
        assert [e.type for e in late] == ["ERROR"]
        assert "too old resource version" in late[0].obj()["message"]
    finally:
        await store.stop()
        await other.stop()


async def test_a_store_that_went_back_in_time_ends_watches(tmp_path: Path) -> None:
    """etcd replaced by one with less history, as after restoring a backup."""
    pki = Pki(tmp_path / "pki")
    server = EtcdServer(tmp_path / "etcd", pki)
    server.start()
    store = await started(server)
    await store.wait_ready()
    try:
        for i in range(10):
            await store.create(CONFIG_MAPS, config("ns", f"c{i}"))
        listener = Listener(await store.watch(CONFIG_MAPS, "ns", resource_version="0"))
        server.kill()
        server.data.rename(tmp_path / "lost")
        server.start()
        await eventually(lambda: listener.over, "the watch ended", within=15)
        assert listener.events[-1].type == "ERROR"
        assert listener.events[-1].obj()["code"] == 410
        assert (await store.list(CONFIG_MAPS, "ns")).items == []
    finally:
        await store.stop()
        server.stop()


async def test_a_restarted_server_knows_the_recent_past(store: Store, etcd: EtcdServer, ns: str) -> None:
    made = await store.create(CONFIG_MAPS, config(ns, "a"))
    await store.update(CONFIG_MAPS, ns, "a", counted)
    other = await started(etcd)
    await other.wait_ready()
    try:
        listener = Listener(await other.watch(CONFIG_MAPS, ns, resource_version=str(made.revision)))
        await eventually(lambda: [e.type for e in listener.events] == ["MODIFIED"], "the past is replayed")
        await listener.close()
    finally:
        await other.stop()


# ---- objects that go by themselves


async def test_an_object_with_a_time_to_live_goes_and_watchers_hear_of_it(store: Store, ns: str) -> None:
    brief = replace(EVENTS, ttl=2)
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": ns}, "reason": "Test"}
    made = await store.create(brief, event)
    listener = Listener(await store.watch(EVENTS, ns, resource_version=str(made.revision)))
    assert (await store.get(EVENTS, ns, "a")).obj()["reason"] == "Test"
    await eventually(lambda: [e.type for e in listener.events] == ["DELETED"], "its time is over", within=15)
    with pytest.raises(NotFound):
        await store.get(EVENTS, ns, "a")
    await listener.close()


async def test_a_lease_that_etcd_has_lost_is_replaced(store: Store, ns: str) -> None:
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a", "namespace": ns}, "reason": "Test"}
    await store.create(EVENTS, event)
    shared = store._leases._shared[EVENTS.ttl]
    store._leases._shared[EVENTS.ttl] = shared._replace(lease=4711)
    await store.create(EVENTS, event | {"metadata": {"name": "b", "namespace": ns}})
    assert len((await store.list(EVENTS, ns)).items) == 2


# ---- compaction


async def test_compactors_agree_and_keep_one_interval(raw: Etcd, store: Store, ns: str) -> None:
    first, second = Compactor(raw), Compactor(raw)
    for compactor in (first, second, first, second):  # they learn of each other
        await compactor.round()
    early = (await store.create(CONFIG_MAPS, config(ns, "a"))).revision
    for compactor in (first, second):
        await compactor.round()
    late = (await store.create(CONFIG_MAPS, config(ns, "b"))).revision

    async def known(revision: int) -> int:
        return len((await raw.range("/registry/", "/registry0", revision=revision, limit=1)).items)

    assert await known(early)
    for compactor in (first, second, first, second):
        await compactor.round()
    with pytest.raises(Compacted):
        await known(early)
    for compactor in (first, second):
        assert await known(await store.current_revision())
        await compactor.round()
    assert late < await raw.oldest_revision("/registry/")
