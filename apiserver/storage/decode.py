"""From etcd's bytes to a Stored: one decode per revision, wherever it came from. Pure.

Stored JSON has no resourceVersion: it is the key's mod_revision, put in here.
"""

from __future__ import annotations

from sys import intern
from typing import Any

import orjson

from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.storage.keys import split_local
from apiserver.storage.stored import Stored

_ORDER = ("apiVersion", "kind", "metadata")


class Draft:
    """An object about to be written: its `value` for etcd, and what `decode` would make of that without reading it."""

    __slots__ = ("_fields", "_head", "_labels", "_local", "value")

    def __init__(self, registry: Registry, local: str, obj: Obj) -> None:
        """apiVersion, kind and metadata come first, and there is no resourceVersion."""
        head: Obj = {key: obj[key] for key in _ORDER if key in obj}
        if "resourceVersion" in obj["metadata"]:
            head["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
        rest = {key: value for key, value in obj.items() if key not in head}
        self._local = local
        self._head = orjson.dumps(head)
        self.value = self._head[:-1] + b"," + orjson.dumps(rest)[1:] if rest else self._head
        self._labels, self._fields = _selectable(registry.of(obj), *split_local(local), obj)

    def stored(self, revision: int) -> Stored:
        """As it came to lie at `revision`: that belongs behind what the metadata hold, at the end of the head."""
        at = len(self._head) - 2
        comma = b"" if self._head[at - 1 : at] == b"{" else b","
        raw = b'%b%b"resourceVersion":"%d"%b' % (self.value[:at], comma, revision, self.value[at:])
        namespace, name = split_local(self._local)
        return Stored(intern(namespace), name, revision, raw, self._labels, self._fields)


def decode(registry: Registry, local: str, value: bytes, revision: int) -> Stored:
    """ValueError when the value is not a JSON object with metadata."""
    obj: Any = orjson.loads(value)
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise ValueError("not an API object")
    obj["metadata"]["resourceVersion"] = str(revision)
    namespace, name = split_local(local)
    return shaped(registry.of(obj), intern(namespace), name, revision, obj)


def shaped(row: Resource | None, namespace: str, name: str, revision: int, obj: Obj) -> Stored:
    """`obj` as storage hands it out. row None: a kind that is not served, or not yet."""
    return Stored(namespace, name, revision, orjson.dumps(obj), *_selectable(row, namespace, name, obj))


def _selectable(row: Resource | None, namespace: str, name: str, obj: Obj) -> tuple[dict[str, str], dict[str, str]]:
    """(labels, fields)"""
    labels = {key: intern(text) for key, text in (obj["metadata"].get("labels") or {}).items()}
    fields = row.field_values(obj) if row else {"metadata.name": name, "metadata.namespace": namespace}
    return labels or _NO_LABELS, {label: intern(text) for label, text in fields.items()}


_NO_LABELS: dict[str, str] = {}
