import asyncio
from typing import Any

from api.builtin import PODS
from api.errors import Expired
from api.selectors import EVERYTHING, FieldSelector, parse_fields, parse_labels
from apiserver.storage.ring import Change
from apiserver.storage.selection import Rendered, Selection, select
from apiserver.storage.turns import Turns
from apiserver.storage.watch import Watch
from apiserver.storage.watchers import Watcher, WatcherSet
from tests.unit.apiserver.storage_objects import stored

ALL = select("", EVERYTHING, FieldSelector())


def watcher_of(selection: Selection, after: int = 0, **options: Any) -> Watcher:
    return Watcher(selection, after, Turns(), **options)


def told(watcher: Watcher, *changes: Rendered) -> None:
    """As the cache tells it."""
    watchers = WatcherSet()
    watchers.add(watcher)
    for change in changes:
        watchers.dispatch(change)


def added(name: str, revision: int, node: str = "") -> Rendered:
    return Rendered(Change(revision, f"default/{name}", stored(name, revision, node=node), None))


def _on_node(name: str) -> Selection:
    return select("", EVERYTHING, parse_fields(f"spec.nodeName={name}", lambda _: True))


async def test_a_watcher_hears_what_comes_after_its_revision_in_order() -> None:
    watcher = watcher_of(ALL, after=5)
    watch = Watch(PODS, watcher, revision=lambda: 7)
    told(watcher, *(added(f"p{revision}", revision) for revision in (5, 6, 7)))
    assert [(e.type, e.revision) for e in await watch.batch()] == [("ADDED", 6), ("ADDED", 7)]


async def test_a_waiting_reader_is_woken() -> None:
    watcher = watcher_of(ALL)
    reading = asyncio.create_task(Watch(PODS, watcher, revision=lambda: 1).__aiter__().__anext__())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    told(watcher, added("p", 1))
    assert (await reading).revision == 1


async def test_a_slow_watcher_is_ended_and_holds_nothing() -> None:
    watcher = watcher_of(ALL, most_queued=3)
    told(watcher, *(added("p", revision) for revision in range(1, 6)))
    assert watcher.ended
    assert not watcher.queue
    assert list(await Watch(PODS, watcher, revision=lambda: 5).batch()) == []


async def test_initial_objects_come_first_then_their_end_then_news() -> None:
    watcher = watcher_of(ALL, after=9)
    initial = [stored(f"p{i:04}", 3) for i in range(1200)]
    watch = Watch(PODS, watcher, initial=initial, initial_end=9, revision=lambda: 10, bookmarks=True)
    told(watcher, added("new", 10))
    seen = []
    while len(seen) < 1202:
        seen += await watch.batch()
    assert [e.type for e in seen[:1200]] == ["ADDED"] * 1200
    assert (seen[1200].type, seen[1200].revision) == ("BOOKMARK", 9)
    assert seen[1200].obj()["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (seen[1201].type, seen[1201].revision) == ("ADDED", 10)


async def test_the_end_of_an_empty_initial_list_is_told_too() -> None:
    watch = Watch(PODS, watcher_of(ALL, after=9), initial_end=9, revision=lambda: 9, bookmarks=True)
    assert [e.type for e in await watch.batch()] == ["BOOKMARK"]


async def test_a_watch_whose_time_is_up_ends_with_a_bookmark() -> None:
    watch = Watch(PODS, watcher_of(ALL), revision=lambda: 42, bookmarks=True, timeout=0.001)
    assert [(e.type, e.revision) for e in await watch.batch()] == [("BOOKMARK", 42)]
    assert list(await watch.batch()) == []


async def test_failing_tells_every_watcher_why() -> None:
    watchers = WatcherSet()
    node = _on_node("n1")
    listeners = [watcher_of(ALL), watcher_of(node)]
    for watcher in listeners:
        watchers.add(watcher)
    watchers.fail(Expired("too old resource version: 1 (5)").status())
    for watcher in listeners:
        seen = [event async for event in Watch(PODS, watcher, revision=lambda: 0)]
        assert [e.type for e in seen] == ["ERROR"]
        assert seen[0].obj()["code"] == 410


async def test_a_watcher_of_one_node_hears_of_pods_that_come_and_go() -> None:
    watchers = WatcherSet()
    watcher = watcher_of(_on_node("n1"))
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


async def test_in_a_crowd_all_are_told_in_turn_and_what_happens_meanwhile_comes_with_it() -> None:
    watchers, turns = WatcherSet(), Turns()
    crowd = [Watcher(ALL, 0, turns) for _ in range(200)]
    for watcher in crowd:
        watchers.add(watcher)
    watches = [Watch(PODS, watcher, revision=lambda: 0) for watcher in crowd]
    watchers.dispatch(added("p", 1))
    at_once = sum(watcher.due for watcher in crowd)
    assert 0 < at_once < 50
    watchers.dispatch(added("q", 2))
    assert sum(watcher.due for watcher in crowd) == at_once
    heard = await asyncio.wait_for(asyncio.gather(*(watch.batch() for watch in watches)), 5)
    assert all([e.revision for e in events] == [1, 2] for events in heard)


async def test_who_comes_when_nobody_waits_is_told_at_once() -> None:
    """Though others watch the same collection: what concerns the one node does not concern them."""
    watchers, turns = WatcherSet(), Turns()
    watcher = Watcher(_on_node("n1"), 0, turns)
    for each in (watcher, *(Watcher(_on_node(f"m{n}"), 0, turns) for n in range(1000))):
        watchers.add(each)
    watchers.dispatch(added("p", 1, "n1"))
    assert watcher.due
    assert len(await Watch(PODS, watcher, revision=lambda: 0).batch()) == 1


async def test_a_bookmark_does_not_overtake_what_waits_for_its_turn() -> None:
    watchers, turns = WatcherSet(), Turns()
    crowd = [Watcher(ALL, 0, turns) for _ in range(200)]
    for watcher in crowd:
        watchers.add(watcher)
    watchers.dispatch(added("p", 1))
    late = next(watcher for watcher in crowd if not watcher.due)
    watch = Watch(PODS, late, revision=lambda: 1, bookmarks=True, timeout=1e-9)
    assert [e.type for e in await watch.batch()] == ["ADDED"]
    assert [e.type for e in await watch.batch()] == ["BOOKMARK"]


def test_those_who_select_the_same_share_one_selection() -> None:
    assert select("a", EVERYTHING, FieldSelector()) is select("a", EVERYTHING, FieldSelector())
    assert _on_node("n1") == _on_node("n1") != _on_node("n2")
    labels = parse_labels("app in (a,b),!old")
    assert select("", labels, FieldSelector()) is select("", parse_labels("app in (a,b),!old"), FieldSelector())
