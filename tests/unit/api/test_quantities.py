"""Quantities: the cases of k8s.io/apimachinery/pkg/api/resource, and arithmetic properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import quantities


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"), ("0.5", "500m"), ("1000m", "1"), ("1500m", "1500m"), ("1024Ki", "1Mi"), ("1.5Gi", "1536Mi"),
        ("100n", "100n"), ("2000k", "2M"), ("1e3", "1e3"), ("1E3", "1e3"), ("12e6", "12e6"), ("0.0000000001", "1n"),
        ("128Mi", "128Mi"), ("1.5", "1500m"), (3, "3"), (0.1, "100m"), ("+5", "5"), ("-1", "-1"), ("1Ei", "1Ei"),
        ("-0.1n", "-1n"), ("100E", "100E"), ("1e20", "100e18"), ("1e21", "1e21"), ("1e-99999999999", "1e-9"),
        ("10Ei", "9223372036854775807"), ("1" * 5000, "9223372036854775807"), ("-1e99999", "-9223372036854775807"),
        ("1234567890.123456789123", "1234567890123456790n"),
    ],
)  # fmt: skip
def test_canonical_form(text: str | float, canonical: str) -> None:
    assert quantities.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "1x", "1 Mi", "Mi", "1.2.3", "1ki", "--1", "1e", "0x10"])
def test_malformed_quantities_are_refused(text: str) -> None:
    assert not quantities.is_valid(text)
    with pytest.raises(ValueError, match="regular expression"):
        quantities.parse(text)


@pytest.mark.parametrize(("text", "millis"), [("1", 1000), ("1m", 1), ("0.1m", 1), ("2.5", 2500), ("100u", 1)])
def test_millis_round_up(text: str, millis: int) -> None:
    assert quantities.millis(text) == millis


@given(st.integers(0, 10**15), st.sampled_from(["m", "", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_canonical_keeps_the_value_and_is_stable(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    once = quantities.canonical(text)
    assert quantities.parse(once) == quantities.parse(text)
    assert quantities.canonical(once) == once


@given(st.integers(0, 10**12))
def test_format_millis_round_trips(millis: int) -> None:
    assert quantities.millis(quantities.format_millis(millis)) == millis
