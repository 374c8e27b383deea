"""The protobuf wire format: a message is a row of fields, each a number, a wire type and a value.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_LONGEST = 10  # bytes of a varint of 64 bits

Value = int | bytes
Field = tuple[int, Value]
"""(number, value): bytes for a string, a message or packed numbers; else the number itself, unsigned."""


class Malformed(ValueError):
    """These bytes are not what they should be. The text says how."""


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in the order they were written. Malformed where it breaks off."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise Malformed(f"illegal tag {number} (wire type {kind})")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif kind == BYTES:
            length, at = _varint(data, at)
            yield number, _cut(data, at, length)
            at += length
        elif kind in _WIDTHS:
            yield number, int.from_bytes(_cut(data, at, _WIDTHS[kind]), "little")
            at += _WIDTHS[kind]
        else:
            raise Malformed(f"illegal wire type {kind} of field {number}")


def varints(data: bytes) -> Iterator[int]:
    """Packed numbers."""
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def signed(value: int) -> int:
    """int32 and int64 are written as two's complement in 64 bits."""
    return value - (1 << 64) if value >> 63 else value


def _cut(data: bytes, at: int, length: int) -> bytes:
    if length > len(data) - at:
        raise Malformed("unexpected end of message")
    return data[at : at + length]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(the value, where it ends)."""
    value = 0
    for step, byte in enumerate(data[at : at + _LONGEST]):
        value |= (byte & 0x7F) << 7 * step
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at + step + 1
    raise Malformed("a number is too long" if len(data) - at >= _LONGEST else "unexpected end of message")
