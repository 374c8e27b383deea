"""What upstream leaves out when it writes an object: Go's `omitempty`.

A field that Go holds as a plain value and that is empty (false, 0, "", no items) is as good as absent: it is not
stored and not shown. Fields held by pointer mean their zero (`replicas: 0`), structs are kept (`emptyDir: {}`), and
what is required is always written. Which field is which is in the table of protobuf messages.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from api import schemas
from api.meta import Obj
from api.protobuf import table
from api.registry import Resource

_KEPT = frozenset({"managedFields"})  # empty, it asks to begin anew


class _Field(NamedTuple):
    drops: bool  # when it is empty
    struct: str  # the definition of its values, if they are structs
    many: bool  # a list of them, or a map to them


def tidy(resource: Resource, obj: Obj) -> None:
    """Take empty plain fields out of a built-in object, in place."""
    name = schemas.definition_name(resource)
    if name in schemas.definitions():
        _tidy(name, obj)


def _tidy(struct: str, obj: Obj) -> None:
    fields = _fields(struct)
    for name, value in list(obj.items()):
        field = fields.get(name)
        if field is None:
            continue
        if not value:
            if field.drops:
                del obj[name]
        elif field.struct:
            for held in (value.values() if isinstance(value, dict) else value) if field.many else (value,):
                if held.__class__ is dict:
                    _tidy(field.struct, held)


@lru_cache(maxsize=1024)
def _fields(struct: str) -> dict[str, _Field]:
    """The fields that may be dropped or that hold structs."""
    schema = schemas.definitions()[struct]
    required = frozenset(schema.get("required") or ())
    entries = {entry.name: entry for entry in table.messages().get(struct, {}).values()}
    result = {}
    for name, field in (schema.get("properties") or {}).items():
        several = "items" in field or isinstance(field.get("additionalProperties"), dict)
        inner = (field.get("items") or field.get("additionalProperties")) if several else field
        target = inner.get("$ref", "").rpartition("/")[2]
        entry = entries.get(name)
        plain = several or ("$ref" not in field and entry is not None and not entry.pointer)
        drops = plain and name not in required and name not in _KEPT
        held = target if target and schemas.definitions()[target].get("properties") else ""
        if drops or held:
            result[name] = _Field(drops, held, several)
    return result
