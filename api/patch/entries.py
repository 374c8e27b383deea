"""metadata.managedFields on the wire: whose entry it is, and what it owns (pure).

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from api.meta import Obj
from api.patch import fields
from api.patch.fields import LEAF, Fields

APPLY, UPDATE = "Apply", "Update"


class Identity(NamedTuple):
    """Whose entry it is. An applier is the same whatever version it speaks: its `api_version` is ""."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def encoded(self) -> str:
        """As upstream sorts them."""
        names = ("manager", "operation", "apiVersion", "subresource")
        return orjson.dumps({n: v for n, v in zip(names, self, strict=True) if v}).decode()

    def __str__(self) -> str:
        text = orjson.dumps(self.manager).decode()
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == UPDATE else text


@dataclass(frozen=True, slots=True)
class Entry:
    owned: Fields
    api_version: str
    time: str = ""


Managed = dict[Identity, Entry]


def decode(entries: Any) -> Managed:
    """From metadata.managedFields. ValueError when an entry is malformed."""
    managed: Managed = {}
    for index, entry in enumerate(entries or ()):
        if not isinstance(entry, dict):
            raise ValueError(f"managed fields entry {index} is not an object")
        if not all(isinstance(value, str) for name, value in entry.items() if name != "fieldsV1"):
            raise ValueError(f"managed fields entry {index} has a field of the wrong type")
        operation, version = entry.get("operation") or "", entry.get("apiVersion") or ""
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if not version:
            raise ValueError("apiVersion must not be empty")
        kind = entry.get("fieldsType") or ""
        if kind != "FieldsV1":
            what = f'invalid fieldsType "{kind}"' if kind else "missing fieldsType"
            raise ValueError(f"{what} in managed fields entry {index}")
        identity = Identity(
            entry.get("manager") or "", operation, "" if operation == APPLY else version, entry.get("subresource") or ""
        )
        managed[identity] = Entry(entry.get("fieldsV1") or LEAF, version, entry.get("time") or "")
    return managed


def encode(managed: Managed) -> list[Obj]:
    ordered = sorted(
        managed.items(),
        key=lambda item: (item[0].operation, item[1].time, item[0].manager, item[1].api_version, item[0].subresource),
    )
    return [_encoded(identity, entry) for identity, entry in ordered]


def _encoded(identity: Identity, entry: Entry) -> Obj:
    wire: Obj = {"manager": identity.manager, "operation": identity.operation, "apiVersion": entry.api_version}
    if entry.time:
        wire["time"] = entry.time
    wire["fieldsType"], wire["fieldsV1"] = "FieldsV1", fields.in_order(entry.owned)
    if identity.subresource:
        wire["subresource"] = identity.subresource
    return wire


def store(obj: Obj, managed: Managed) -> None:
    """Into an object."""
    if managed:
        obj["metadata"]["managedFields"] = encode(managed)
    else:
        obj["metadata"].pop("managedFields", None)
