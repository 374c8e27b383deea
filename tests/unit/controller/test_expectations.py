from __future__ import annotations

from client.clock import FakeClock
from client.store import Store
from controller.expectations import TIMEOUT, Expectations
from controller.written import PATIENCE, Written

from .make import pod


class TestExpectations:
    def test_creations_are_awaited_one_by_one(self) -> None:
        expected = Expectations(FakeClock())
        assert expected.are_met("k")
        expected.expect_creations("k", 2)
        expected.saw_creation("k")
        assert not expected.are_met("k")
        expected.saw_creation("k")
        assert expected.are_met("k")

    def test_a_deletion_is_counted_once(self) -> None:
        expected = Expectations(FakeClock())
        expected.expect_deletions("k", ["a", "b"])
        expected.saw_deletion("k", "a")
        expected.saw_deletion("k", "a")
        assert not expected.are_met("k")
        expected.saw_deletion("k", "b")
        assert expected.are_met("k")

    def test_news_that_never_comes_is_given_up(self) -> None:
        clock = FakeClock()
        expected = Expectations(clock)
        expected.expect_creations("k", 1)
        clock.advance(TIMEOUT + 1)
        assert expected.are_met("k")

    def test_forgotten_with_its_owner(self) -> None:
        expected = Expectations(FakeClock())
        expected.expect_creations("k", 1)
        expected.forget("k")
        assert expected.are_met("k")


class TestWritten:
    def test_behind_until_the_cache_has_the_revision(self) -> None:
        written, store = Written(FakeClock()), Store()
        new = pod("a")
        new["metadata"]["resourceVersion"] = "7"
        written.note("svc", new)
        assert written.is_behind("svc", store)
        store.put(pod("a"))
        assert written.is_behind("svc", store)
        store.put(new)
        assert not written.is_behind("svc", store)

    def test_a_deleted_one_is_not_awaited(self) -> None:
        written = Written(FakeClock())
        written.note("svc", pod("a"))
        written.drop("svc", "default/a")
        assert not written.is_behind("svc", Store())

    def test_patience_ends(self) -> None:
        clock = FakeClock()
        written = Written(clock)
        written.note("svc", pod("a"))
        clock.advance(PATIENCE + 1)
        assert not written.is_behind("svc", Store())
