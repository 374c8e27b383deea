from hypothesis import given
from hypothesis import strategies as st

from api.selectors import EVERYTHING, FieldSelector, parse_fields, parse_labels
from apiserver.storage.collection import Collection
from apiserver.storage.selection import Selection, select
from tests.unit.apiserver.storage_objects import stored

ALL = select("", EVERYTHING, FieldSelector())

_STEPS = st.lists(
    st.tuples(st.sampled_from(["a", "a-b", "b"]), st.sampled_from(["x", "x-1", "y", "z"]), st.booleans(), st.booleans()),
    max_size=25,
)  # fmt: skip
_SELECTIONS = st.sampled_from(
    [
        ALL,
        select("a", EVERYTHING, FieldSelector()),
        select("", parse_labels("app=web"), FieldSelector()),
        select("a-b", parse_labels("app!=web"), FieldSelector()),
        select("a", EVERYTHING, parse_fields("metadata.name=x", lambda _: True)),
    ]
)


def build(steps: list[tuple[str, str, bool, bool]]) -> tuple[Collection, list[dict[str, int]]]:
    """The collection after all steps, and what it held (key → revision) after each."""
    collection, history, held = Collection(0), [{}], {}
    for revision, (namespace, name, exists, web) in enumerate(steps, start=1):
        key = f"{namespace}/{name}"
        current = stored(name, revision, namespace, {"app": "web"} if web else {}) if exists else None
        collection.apply(key, current, revision, 0.0)
        held = {k: v for k, v in held.items() if k != key} | ({key: revision} if exists else {})
        history.append(held)
    return collection, history


def pages(collection: Collection, selection: Selection, limit: int, revision: int) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    start = ""
    while True:
        part = collection.page(selection, start, limit, collection.ring.undo(revision))
        assert len(part.items) <= limit
        seen += [(f"{s.namespace}/{s.name}", s.revision) for s in part.items]
        if not part.next_start:
            return seen
        start = part.next_start


@given(_STEPS, _SELECTIONS, st.integers(1, 3), st.data())
def test_pages_together_are_the_list_at_any_revision(steps, selection, limit, data) -> None:  # type: ignore[no-untyped-def]
    collection, history = build(steps)
    revision = data.draw(st.integers(0, len(steps)))
    webs = {i: web for i, (_, _, _, web) in enumerate(steps, start=1)}
    expected = []
    for key in sorted(history[revision]):
        namespace, name = key.split("/")
        at = history[revision][key]
        if selection.has(stored(name, at, namespace, {"app": "web"} if webs[at] else {})):
            expected.append((key, at))
    assert pages(collection, selection, limit, revision) == expected


def test_what_remains_is_counted_only_without_selectors() -> None:
    collection, _ = build([("a", "x", True, True), ("a", "y", True, True), ("b", "z", True, True)])
    assert collection.page(ALL, "", 1).remaining == 2
    assert collection.page(select("a", EVERYTHING, FieldSelector()), "", 1).remaining == 1
    assert collection.page(select("", parse_labels("app"), FieldSelector()), "", 1).remaining is None
    assert collection.page(ALL, "", 3).remaining is None


def test_removing_what_is_not_there_is_no_change() -> None:
    collection = Collection(0)
    collection.apply("a/x", None, 5, 0.0)
    assert len(collection.ring) == 0
