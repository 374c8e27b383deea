"""Selectors: the grammar of the label documentation, and that text and object forms agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import selectors
from api.builtin import PODS
from api.errors import BadRequest

LABELS = {"app": "web", "tier": "front", "count": "3", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True), ("app=web", True), ("app==web", True), ("app=db", False), ("app!=db", True), ("gone!=db", True),
        ("app", True), ("!app", False), ("!gone", True), ("app in (web,db)", True), ("app in (db)", False),
        ("app notin (db, cache)", True), ("gone notin (db)", True), ("app=web,tier=front", True),
        ("app=web,tier=back", False), ("count>2", True), ("count<3", False), ("app>2", False), ("empty=", True),
        (" app = web , tier ", True), ("example.com/app!=x", True),
    ],
)  # fmt: skip
def test_label_selectors(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text", ["app in web", "app=web,", "a b", "=x", "app in (a", "!", "a=b=c", "a>x", "-a=b", "a=-b"]
)
def test_malformed_label_selectors_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        selectors.parse_labels(text)


def test_none_selects_nothing_and_empty_selects_everything() -> None:
    assert not selectors.from_label_selector(None).matches(LABELS)
    assert selectors.from_label_selector({}).matches(LABELS)
    assert not selectors.from_match_labels({}).matches(LABELS)


_names = st.from_regex(r"[a-z]([a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
_requirements = st.one_of(
    st.builds(lambda k, v: selectors.Requirement(k, "In", tuple(v)), _names, st.lists(_names, min_size=1, unique=True)),
    st.builds(
        lambda k, v: selectors.Requirement(k, "NotIn", tuple(v)), _names, st.lists(_names, min_size=1, unique=True)
    ),
    st.builds(lambda k: selectors.Requirement(k, "Exists"), _names),
    st.builds(lambda k: selectors.Requirement(k, "DoesNotExist"), _names),
)


@given(st.lists(_requirements, max_size=4), st.dictionaries(_names, _names))
def test_printing_and_parsing_agree(requirements: list[selectors.Requirement], labels: dict[str, str]) -> None:
    selector = selectors.Selector(tuple(requirements))
    assert selectors.parse_labels(str(selector)).matches(labels) == selector.matches(labels)


@pytest.mark.parametrize(
    ("text", "matches"),
    [("metadata.name=a", True), ("metadata.name!=a", False), ("spec.nodeName=", True), ("status.phase==Running", False),
     ("metadata.name=a,metadata.namespace=default", True)],
)  # fmt: skip
def test_field_selectors(text: str, matches: bool) -> None:
    pod = {"metadata": {"name": "a", "namespace": "default"}, "spec": {}, "status": {"phase": "Pending"}}
    selector = selectors.parse_fields(text, PODS.supports_field)
    assert selector.matches(PODS.field_values(pod)) is matches


def test_unsupported_field_label_is_named() -> None:
    with pytest.raises(BadRequest, match="field label not supported: spec.image"):
        selectors.parse_fields("spec.image=x", PODS.supports_field)
