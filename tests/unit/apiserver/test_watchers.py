import asyncio

from api.builtin import PODS
from api.errors import Expired
from api.selectors import EVERYTHING, FieldSelector, parse_fields
from apiserver.storage.ring import Change
from apiserver.storage.selection import Rendered, Selection, select
from apiserver.storage.watchers import Watch, Watcher, WatcherSet
from tests.unit.apiserver.storage_objects import stored

ALL = select("", EVERYTHING, FieldSelector())


def added(name: str, revision: int, node: str = "") -> Rendered:
    return Rendered(Change(revision, f"default/{name}", stored(name, revision, node=node), None))


def _on_node(name: str) -> Selection:
    return select("", EVERYTHING, parse_fields(f"spec.nodeName={name}", lambda _: True))


async def test_a_watcher_hears_what_comes_after_its_revision_in_order() -> None:
    watcher = Watcher(ALL, after=5)
    watch = Watch(PODS, watcher, revision=lambda: 7)
    for revision in (5, 6, 7):
        watcher.offer(added(f"p{revision}", revision))
    assert [(e.type, e.revision) for e in await watch.batch()] == [("ADDED", 6), ("ADDED", 7)]


async def test_a_waiting_reader_is_woken() -> None:
    watcher = Watcher(ALL, after=0)
    reading = asyncio.create_task(Watch(PODS, watcher, revision=lambda: 1).__aiter__().__anext__())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    watcher.offer(added("p", 1))
    assert (await reading).revision == 1


async def test_a_slow_watcher_is_ended_and_holds_nothing() -> None:
    watcher = Watcher(ALL, after=0, most_queued=3)
    for revision in range(1, 6):
        watcher.offer(added("p", revision))
    assert watcher.ended
    assert not watcher.queue
    assert list(await Watch(PODS, watcher, revision=lambda: 5).batch()) == []


async def test_initial_objects_come_first_then_their_end_then_news() -> None:
    watcher = Watcher(ALL, after=9)
    initial = [stored(f"p{i:04}", 3) for i in range(1200)]
    watch = Watch(PODS, watcher, initial=initial, initial_end=9, revision=lambda: 10, bookmarks=True)
    watcher.offer(added("new", 10))
    seen = []
    while len(seen) < 1202:
        seen += await watch.batch()
    assert [e.type for e in seen[:1200]] == ["ADDED"] * 1200
    assert (seen[1200].type, seen[1200].revision) == ("BOOKMARK", 9)
    assert seen[1200].obj()["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (seen[1201].type, seen[1201].revision) == ("ADDED", 10)


async def test_the_end_of_an_empty_initial_list_is_told_too() -> None:
    watch = Watch(PODS, Watcher(ALL, after=9), initial_end=9, revision=lambda: 9, bookmarks=True)
    assert [e.type for e in await watch.batch()] == ["BOOKMARK"]


async def test_a_watch_whose_time_is_up_ends_with_a_bookmark() -> None:
    watch = Watch(PODS, Watcher(ALL, after=0), revision=lambda: 42, bookmarks=True, timeout=0.001)
    assert [(e.type, e.revision) for e in await watch.batch()] == [("BOOKMARK", 42)]
    assert list(await watch.batch()) == []


async def test_failing_tells_every_watcher_why() -> None:
    watchers = WatcherSet()
    node = _on_node("n1")
    listeners = [Watcher(ALL, after=0), Watcher(node, after=0)]
    for watcher in listeners:
        watchers.add(watcher)
    watchers.fail(Expired("too old resource version: 1 (5)").status())
    for watcher in listeners:
        seen = [event async for event in Watch(PODS, watcher, revision=lambda: 0)]
        assert [e.type for e in seen] == ["ERROR"]
        assert seen[0].obj()["code"] == 410


def test_a_watcher_of_one_node_hears_of_pods_that_come_and_go() -> None:
    watchers = WatcherSet()
    watcher = Watcher(_on_node("n1"), after=0)
    watchers.add(watcher)
    assert len(watchers) == 1
    unbound, bound, moved = stored("p", 1), stored("p", 2, node="n1"), stored("p", 3, node="n2")
    watchers.dispatch(Rendered(Change(1, "default/p", unbound, None)))
    watchers.dispatch(Rendered(Change(2, "default/p", bound, unbound)))
    watchers.dispatch(Rendered(Change(3, "default/p", moved, bound)))
    assert [(e.type, e.revision) for e in watcher.queue] == [("ADDED", 2), ("DELETED", 3)]
    watchers.discard(watcher)
    watchers.discard(watcher)
    assert len(watchers) == 0


async def test_in_a_crowd_a_moments_events_come_together() -> None:
    """At the next of its beats: here 40 of the 50 ms that a moment of so many has."""
    loop, watcher = asyncio.get_running_loop(), Watcher(ALL, after=0)
    watch = Watch(PODS, watcher, revision=lambda: 0, crowd=lambda: 500)
    began = loop.time()
    watch._phase = (0.01 - began) / 0.05 % 1
    watcher.offer(added("p", 1))
    loop.call_later(0.005, watcher.offer, added("p", 2))
    assert [e.revision for e in await watch.batch()] == [1, 2]
    assert loop.time() - began >= 0.039


async def test_who_is_alone_is_told_at_once() -> None:
    """Though others watch the same collection: what concerns the one node does not concern them."""
    watchers, watcher = WatcherSet(), Watcher(_on_node("n1"), after=0)
    for each in (watcher, *(Watcher(_on_node(f"m{n}"), after=0) for n in range(1000))):
        watchers.add(each)
    watch = Watch(PODS, watcher, revision=lambda: 0, crowd=lambda: watchers.crowd(watcher))
    watcher.offer(added("p", 1, "n1"))
    began = asyncio.get_running_loop().time()
    assert len(await watch.batch()) == 1
    assert asyncio.get_running_loop().time() - began < 0.04
    assert watchers.crowd(watcher) == 1


def test_watchers_of_the_same_share_one_judgement() -> None:
    assert select("a", EVERYTHING, FieldSelector()) is select("a", EVERYTHING, FieldSelector())
    rendered = added("p", 1)
    assert rendered.effect(ALL) == rendered.effect(ALL) == "ADDED"
    assert rendered.effect(select("elsewhere", EVERYTHING, FieldSelector())) is None
