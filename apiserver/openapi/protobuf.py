"""A Swagger 2.0 document as the protobuf that kubectl reads (pure): gnostic's `openapi.v2.Document`.

kubectl asks for it to check a `kind: List` before it sends the items, and for `explain --output
plaintext-openapiv2`. Both read definitions alone, so paths stay empty. Field numbers are those of OpenAPIv2.proto.
"""

from __future__ import annotations

from typing import Any

import orjson

from api.meta import Obj

_BYTES = 2
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_COUNTS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17, "minProperties": 18}
_DEFAULT, _REQUIRED, _ENUM, _ADDITIONAL, _TYPE, _ITEMS = 5, 19, 20, 21, 22, 23
_ALL_OF, _PROPERTIES, _EXTENSION = 24, 25, 31


def document(swagger: Obj) -> bytes:
    """The bytes of a document with `info` and `definitions`."""
    info = _text(1, swagger["info"]["title"]) + _text(2, swagger["info"]["version"])
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in swagger["definitions"].items())
    return _text(1, swagger["swagger"]) + _field(2, info) + _field(8, b"") + _field(9, definitions)


def _schema(schema: Obj) -> bytes:
    """openapi.v2.Schema"""
    out = bytearray()
    for key, value in schema.items():
        if key in _TEXTS:
            out += _text(_TEXTS[key], value)
        elif key in _COUNTS:
            out += _number(_COUNTS[key], value)
        elif key == "type":
            out += _field(_TYPE, _text(1, value))
        elif key == "required":
            for name in value:
                out += _text(_REQUIRED, name)
        elif key == "properties":
            out += _field(_PROPERTIES, b"".join(_named(1, name, _schema(child)) for name, child in value.items()))
        elif key == "items":
            out += _field(_ITEMS, _field(1, _schema(value)))
        elif key == "additionalProperties":
            inner = _number(2, value) if isinstance(value, bool) else _field(1, _schema(value))
            out += _field(_ADDITIONAL, inner)
        elif key == "allOf":
            for child in value:
                out += _field(_ALL_OF, _schema(child))
        elif key == "default":
            out += _field(_DEFAULT, _any(value))
        elif key == "enum":
            for each in value:
                out += _field(_ENUM, _any(each))
        elif key.startswith("x-"):
            out += _named(_EXTENSION, key, _any(value))
    return bytes(out)


def _any(value: Any) -> bytes:
    """openapi.v2.Any: a text of YAML, which JSON is."""
    return _field(2, orjson.dumps(value))


def _named(number: int, name: str, value: bytes) -> bytes:
    return _field(number, _text(1, name) + _field(2, value))


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
