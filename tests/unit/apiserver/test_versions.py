import pytest

from api.errors import ApiError
from apiserver.storage.versions import Freshness, for_get, for_list, for_watch, too_large


@pytest.mark.parametrize(
    ("version", "match", "limit", "expected"),
    [
        ("", "", 0, (Freshness.LATEST, 0)),
        ("", "", 5, (Freshness.LATEST, 0)),
        ("0", "", 0, (Freshness.ANY, 0)),
        ("0", "NotOlderThan", 0, (Freshness.ANY, 0)),
        ("7", "", 0, (Freshness.NOT_OLDER, 7)),
        ("7", "", 5, (Freshness.EXACT, 7)),
        ("7", "NotOlderThan", 5, (Freshness.NOT_OLDER, 7)),
        ("7", "Exact", 0, (Freshness.EXACT, 7)),
    ],
)
def test_the_table_of_lists(version: str, match: str, limit: int, expected: tuple[Freshness, int]) -> None:
    assert tuple(for_list(version, match, limit, continued=False)) == expected


@pytest.mark.parametrize(
    ("version", "match", "continued", "message"),
    [
        ("", "Exact", False, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("0", "Exact", False, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
        ("5", "Newest", False, 'supported values: "Exact", "NotOlderThan", ""'),
        ("5", "Exact", True, "resourceVersionMatch is forbidden when continue is provided"),
        ("5", "", True, "specifying resource version is not allowed when using continue"),
        ("abc", "", False, 'Invalid value: "abc"'),
        ("-1", "", False, 'Invalid value: "-1"'),
        ("99999999999999999999", "", False, "value out of range"),
    ],
)
def test_bad_list_options_say_why(version: str, match: str, continued: bool, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        for_list(version, match, 0, continued)
    assert message in caught.value.message
    assert caught.value.code in (400, 422)


def test_a_list_sends_no_initial_events() -> None:
    """KEP-3157"""
    with pytest.raises(ApiError, match="sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"):
        for_list("", "", 0, False, send_initial=False)


def test_get_takes_unset_any_and_not_older() -> None:
    assert for_get("").freshness is Freshness.LATEST
    assert for_get("0").freshness is Freshness.ANY
    assert for_get("3") == (Freshness.NOT_OLDER, 3)


@pytest.mark.parametrize(
    ("version", "match", "initial", "expected"),
    [
        ("", "", None, (Freshness.LATEST, True, False)),
        ("0", "", None, (Freshness.ANY, True, False)),
        ("7", "", None, (Freshness.EXACT, False, False)),
        ("", "NotOlderThan", True, (Freshness.LATEST, True, True)),
        ("7", "NotOlderThan", True, (Freshness.NOT_OLDER, True, True)),
        ("", "NotOlderThan", False, (Freshness.LATEST, False, False)),
        ("7", "NotOlderThan", False, (Freshness.EXACT, False, False)),
    ],
)
def test_the_table_of_watches(
    version: str, match: str, initial: bool | None, expected: tuple[Freshness, bool, bool]
) -> None:
    start = for_watch(version, match, initial, bookmarks=True)
    assert (start.wanted.freshness, start.initial, start.initial_end) == expected


@pytest.mark.parametrize(("match", "initial"), [("", True), ("Exact", True), ("NotOlderThan", None)])
def test_bad_watch_options_are_refused(match: str, initial: bool | None) -> None:
    with pytest.raises(ApiError) as caught:
        for_watch("", match, initial, bookmarks=True)
    assert "resourceVersionMatch: Forbidden" in caught.value.message


def test_a_revision_from_the_future_is_told_as_upstream_does() -> None:
    status = too_large(9, 3).status()
    assert status["message"] == "Timeout: Too large resource version: 9, current: 3"
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
