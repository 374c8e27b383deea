"""Attributes as rtnetlink(7) lays them out; that the kernel understands them is seen in tests/integration/proxy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.rtnetlink import attribute, attributes


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40)))
def test_what_is_written_is_read(wanted: dict[int, bytes]) -> None:
    assert attributes(b"".join(attribute(kind, value) for kind, value in wanted.items())) == wanted


def test_a_value_is_padded_to_four_bytes_and_its_length_is_its_own() -> None:
    assert attribute(3, b"lo\0") == b"\x07\x00\x03\x00lo\x00\x00"


def test_the_bits_that_tell_the_layout_are_no_part_of_the_number() -> None:
    assert attributes(attribute(12 | 0x8000, b"")) == {12: b""}
