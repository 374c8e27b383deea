"""From protobuf to the object that the same client would have sent as JSON.

Numbers come from the table, names and types from the JSON schemas; numbers that are not in the table belong to
another release and are passed over. What generated Go code writes although it is empty goes, as JSON's `omitempty`
would have it: plain values at zero, unless the schema requires them. Empty structs stay, as in JSON.
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from api import schemas
from api.errors import BadRequest
from api.meta import Obj
from api.protobuf import leaves, table, wire
from api.protobuf.wire import Malformed, Value

MAGIC = b"k8s\0"
_TYPE_META, _RAW, _ENCODING = 1, 2, 3  # of runtime.Unknown
_API_VERSION, _KIND = 1, 2  # of TypeMeta
_KEY, _VALUE = 1, 2  # of a map's entries

Read = Callable[[Value], Any]


def decode(body: bytes) -> Obj:
    """The object in a body, with apiVersion and kind. BadRequest when it is no such thing."""
    if not body.startswith(MAGIC):
        raise BadRequest("error decoding body: provided data does not appear to be a protobuf message")
    try:
        return _object(body[len(MAGIC) :])
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"error decoding body: proto: {error}") from error


def _object(envelope: bytes) -> Obj:
    unknown = dict(wire.fields(envelope))
    names = dict(wire.fields(leaves.octets(unknown.get(_TYPE_META, b""))))
    api_version, kind = (leaves.text(names.get(number, b"")) for number in (_API_VERSION, _KIND))
    if unknown.get(_ENCODING):
        raise Malformed("content encodings are not supported")
    if not kind:
        raise Malformed("Object 'Kind' is missing")
    message = table.message_of(api_version, kind)
    if message is None:
        raise Malformed(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"apiVersion": api_version, "kind": kind, **_read(_fields(message, message), unknown.get(_RAW, b""))}


@dataclass(frozen=True, slots=True)
class _Field:
    """How to put one field of a message into its object: as a value, an item of a list, an entry of a map."""

    name: str
    shape: str
    read: Read
    keeps_zero: bool

    def put(self, obj: Obj, value: Value) -> None:
        match self.shape:
            case "list" if self.read is leaves.integer and isinstance(value, bytes):
                obj.setdefault(self.name, []).extend(map(wire.signed, wire.varints(value)))
            case "list":
                obj.setdefault(self.name, []).append(self.read(value))
            case "map":
                entry = dict(wire.fields(leaves.octets(value)))
                obj.setdefault(self.name, {})[leaves.text(entry.get(_KEY, b""))] = self.read(entry.get(_VALUE, b""))
            case "inlined":
                obj.update(self.read(value))
            case _:
                found = self.read(value)
                if found is None or (not self.keeps_zero and found in ("", 0)):
                    obj.pop(self.name, None)
                else:
                    obj[self.name] = found


@lru_cache(maxsize=512)
def _fields(message: str, definition: str) -> Mapping[int, _Field]:
    """The fields of a message, whose types are those of a definition: its own, or its parent's when it is inlined."""
    schema = schemas.definitions()[definition]
    required = schema.get("required", ())
    fields: dict[int, _Field] = {}
    for number, entry in table.messages()[message].items():
        if entry.inlined:
            inner = f"{message.rpartition('.')[0]}.{entry.name}"
            fields[number] = _Field(entry.name, "inlined", partial(_message, inner, definition), True)
        else:
            typed = schema["properties"][entry.name]
            shape, read = _typed(typed)
            keeps_zero = entry.pointer or entry.name in required or "$ref" in typed  # Go never leaves out a struct
            fields[number] = _Field(entry.name, shape, read, keeps_zero)
    return fields


def _typed(schema: schemas.Schema) -> tuple[str, Read]:
    """(shape, what reads the value, an item or an entry's value)."""
    if "$ref" not in schema:
        if "items" in schema:
            return "list", _value(schema["items"])
        if "additionalProperties" in schema:
            return "map", _value(schema["additionalProperties"])
    return "one", _value(schema)


def _value(schema: schemas.Schema) -> Read:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        short = name.rpartition(".")[2]
        if union := _UNIONS.get(short):
            return partial(_either, name.removesuffix(union.suffix), union)
        return leaves.BY_NAME.get(short) or partial(_message, name, name)
    if "items" in schema:  # the values of a map: a message that holds the list
        return partial(_wrapped, _value(schema["items"]))
    return leaves.of_type(schema)


@dataclass(frozen=True, slots=True)
class _Union:
    """A schema, or something else in its place: which numbers they have on the wire."""

    suffix: str  # what the union's name has more than its schema's
    schema: int
    other: int
    read: Callable[[str, list[Value]], Any]


_UNIONS = {
    "JSONSchemaPropsOrArray": _Union("OrArray", 1, 2, lambda name, found: [_message(name, name, v) for v in found]),
    "JSONSchemaPropsOrBool": _Union("OrBool", 2, 1, lambda _, found: any(map(leaves.boolean, found))),
    "JSONSchemaPropsOrStringArray": _Union("OrStringArray", 1, 2, lambda _, found: list(map(leaves.text, found))),
}


def _either(name: str, union: _Union, value: Value) -> Any:
    parts = list(wire.fields(leaves.octets(value)))
    for number, part in parts:
        if number == union.schema:
            return _message(name, name, part)
    return union.read(name, [part for number, part in parts if number == union.other])


def _message(message: str, definition: str, value: Value) -> Obj:
    return _read(_fields(message, definition), value)


def _wrapped(read: Read, value: Value) -> list[Any]:
    return [read(item) for _, item in wire.fields(leaves.octets(value))]


def _read(fields: Mapping[int, _Field], value: Value) -> Obj:
    obj: Obj = {}
    for number, found in wire.fields(leaves.octets(value)):
        if field := fields.get(number):
            field.put(obj, found)
    return obj
