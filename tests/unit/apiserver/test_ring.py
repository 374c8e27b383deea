import pytest

from api.errors import Expired
from apiserver.storage.ring import Change, Ring
from tests.unit.apiserver.storage_objects import stored


def created(name: str, revision: int, at: float = 0.0) -> Change:
    return Change(revision, f"default/{name}", stored(name, revision), None, at)


def test_since_gives_what_is_newer_in_order() -> None:
    ring = Ring(10)
    for revision in (11, 13, 17):
        ring.append(created(f"p{revision}", revision))
    assert [c.revision for c in ring.since(10)] == [11, 13, 17]
    assert [c.revision for c in ring.since(12)] == [13, 17]
    assert ring.since(17) == ring.since(99) == []


def test_since_before_the_floor_is_expired_in_upstreams_words() -> None:
    with pytest.raises(Expired) as caught:
        Ring(10).since(9)
    assert caught.value.message == "too old resource version: 9 (10)"


def test_undo_shows_each_key_as_it_was() -> None:
    first, second = stored("a", 11), stored("a", 12)
    ring = Ring(10)
    ring.append(Change(11, "default/a", first, None))
    ring.append(Change(12, "default/a", second, first))
    ring.append(Change(13, "default/b", None, stored("b", 5)))
    assert ring.undo(13) == {}
    assert ring.undo(12) is not None
    assert set(ring.undo(12) or {}) == {"default/b"}
    assert (ring.undo(11) or {})["default/a"] is first
    assert (ring.undo(10) or {})["default/a"] is None
    assert ring.undo(9) is None


def test_old_changes_go_but_the_least_stay() -> None:
    ring = Ring(0, keep_seconds=75, least=3)
    for revision in range(1, 6):
        ring.append(created("p", revision, at=0.0))
    assert (len(ring), ring.floor) == (5, 0)
    ring.append(created("p", 6, at=100.0))
    assert (len(ring), ring.floor) == (3, 3)


def test_the_bytes_it_holds_are_bounded() -> None:
    ring = Ring(0, most_bytes=10_000)
    for revision in range(1, 200):
        ring.append(Change(revision, "default/a", stored("a", revision), stored("a", revision - 1)))
    assert len(ring) < 30
    assert ring.floor == 199 - len(ring)
    assert [c.revision for c in ring.since(ring.floor)] == list(range(ring.floor + 1, 200))


def test_after_a_restart_nothing_before_is_known() -> None:
    ring = Ring(0)
    ring.append(created("a", 1))
    ring.restart(50)
    assert ring.undo(49) is None
    assert ring.since(50) == []
    with pytest.raises(Expired):
        ring.since(1)
