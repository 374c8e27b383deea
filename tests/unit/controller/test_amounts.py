from __future__ import annotations

import pytest

from controller import amounts


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [
        pytest.param(3, 10, True, 3, id="a count is itself"),
        pytest.param("25%", 10, True, 3, id="percent up"),
        pytest.param("25%", 10, False, 2, id="percent down"),
        pytest.param("100%", 7, False, 7, id="all"),
        pytest.param("0%", 7, True, 0, id="none"),
        pytest.param(None, 8, True, 2, id="the default"),
    ],
)
def test_resolve(value: int | str | None, total: int, up: bool, expected: int) -> None:
    assert amounts.resolve(value, total, round_up=up, default="25%") == expected


@pytest.mark.parametrize("value", ["25", "many", "x%"])
def test_what_is_no_amount_is_refused(value: str) -> None:
    with pytest.raises(ValueError):
        amounts.resolve(value, 10, round_up=True)
