import pytest

from api.selectors import EVERYTHING, FieldSelector, parse_fields, parse_labels
from apiserver.storage.ring import Change
from apiserver.storage.selection import Rendered, bookmark, effect, select
from apiserver.storage.stored import Stored
from tests.unit.apiserver.storage_objects import stored

WEB = select("", parse_labels("app=web"), FieldSelector())
IN = {"app": "web"}
OUT = {"app": "db"}


@pytest.mark.parametrize(
    ("previous", "current", "expected"),
    [
        (None, stored("p", 5, labels=IN), "ADDED"),
        (None, stored("p", 5, labels=OUT), None),
        (stored("p", 4, labels=IN), stored("p", 5, labels=IN), "MODIFIED"),
        (stored("p", 4, labels=OUT), stored("p", 5, labels=IN), "ADDED"),
        (stored("p", 4, labels=IN), stored("p", 5, labels=OUT), "DELETED"),
        (stored("p", 4, labels=OUT), stored("p", 5, labels=OUT), None),
        (stored("p", 4, labels=IN), None, "DELETED"),
        (stored("p", 4, labels=OUT), None, None),
    ],
)
def test_entering_and_leaving_a_selection(
    previous: Stored | None, current: Stored | None, expected: str | None
) -> None:
    assert effect(Change(5, "default/p", current, previous), WEB) == expected


def test_leaving_shows_the_object_as_it_was_at_the_revision_of_the_change() -> None:
    change = Change(9, "default/p", stored("p", 9, labels=OUT), stored("p", 4, labels=IN))
    shown = Rendered(change).event("DELETED").obj()
    assert shown["metadata"]["labels"] == IN
    assert shown["metadata"]["resourceVersion"] == "9"


def test_all_watchers_share_the_bytes_of_an_event() -> None:
    rendered = Rendered(Change(5, "default/p", stored("p", 5), None))
    assert rendered.event("ADDED") is rendered.event("ADDED")
    assert rendered.event("ADDED").line.startswith(b'{"type":"ADDED","object":{"apiVersion":"v1","kind":"Pod"')
    assert rendered.event("ADDED").line.endswith(b"}\n")


def test_namespace_and_fields_select() -> None:
    pods = parse_fields("spec.nodeName=n1", lambda _: True)
    selection = select("a", EVERYTHING, pods)
    assert selection.trigger == ("spec.nodeName", "n1")
    assert selection.has(stored("p", 1, "a", node="n1"))
    assert not selection.has(stored("p", 1, "b", node="n1"))
    assert not selection.has(stored("p", 1, "a", node="n2"))


def test_a_bookmark_has_a_revision_and_no_object() -> None:
    mark = bookmark("v1", "Pod", 7, initial_events_end=True).obj()
    assert mark["metadata"]["resourceVersion"] == "7"
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
