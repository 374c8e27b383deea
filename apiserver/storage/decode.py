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


def encode(obj: Obj) -> bytes:
    """What etcd keeps of an object: apiVersion, kind and metadata first, no resourceVersion."""
    ordered: Obj = {key: obj[key] for key in _ORDER if key in obj}
    ordered.update(obj)
    if "resourceVersion" in obj["metadata"]:
        ordered["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "resourceVersion"}
    return orjson.dumps(ordered)


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
    labels = {key: intern(text) for key, text in (obj["metadata"].get("labels") or {}).items()}
    fields = row.field_values(obj) if row else {"metadata.name": name, "metadata.namespace": namespace}
    return Stored(
        namespace,
        name,
        revision,
        orjson.dumps(obj),
        labels or _NO_LABELS,
        {label: intern(text) for label, text in fields.items()},
    )


_NO_LABELS: dict[str, str] = {}
