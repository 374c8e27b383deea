"""Protobuf by hand: a message is written as its fields, (number, value)."""

from __future__ import annotations

import struct

from api.protobuf import wire
from api.protobuf.decode import MAGIC

Part = tuple[int, int | str | bytes]
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def message(*parts: Part) -> bytes:
    return b"".join(_field(number, value) for number, value in parts)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3 | wire.VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | wire.BYTES) + varint(len(data)) + data


def double(number: int, value: float) -> bytes:
    return varint(number << 3 | wire.FIXED64) + struct.pack("<d", value)


def body(api_version: str, kind: str, raw: bytes, *more: Part) -> bytes:
    """An object in its envelope; `more` are further fields of the envelope."""
    return MAGIC + message((1, message((1, api_version), (2, kind))), (2, raw), *more)
