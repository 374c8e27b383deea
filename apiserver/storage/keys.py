"""Where things live in etcd.

    /registry/<group or core>/<plural>/<namespace>/<name>    an object; no namespace segment when cluster scoped
    /registry/.<name>                                        ours, not an object: moves the revision, nothing else
    /claims/<claim>                                          a name held exclusively; value = the holder's key

Claims stand outside /registry/ so that the one watch does not carry them. Every Txn that writes a claim also
writes an object, so the watch still meets every revision.
"""

from __future__ import annotations

from typing import NamedTuple

from api.registry import Resource

REGISTRY = "/registry/"
CLAIMS = "/claims/"
COMPACTION = "/registry/.compaction"
NUDGE = "/registry/.nudge"


class ObjectKey(NamedTuple):
    """An etcd key taken apart: `collection` is "<group or core>/<plural>", `local` "<namespace>/<name>"."""

    collection: str
    local: str


def lies_as(res: Resource) -> Resource:
    """The row in whose version, and under whose keys, objects of `res` are written."""
    return res.stored_as or res


def collection(res: Resource) -> str:
    row = lies_as(res)
    return f"{row.group or 'core'}/{row.plural}"


def local(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def path(res: Resource, namespace: str, name: str) -> str:
    return f"{REGISTRY}{collection(res)}/{local(namespace, name)}"


def claim(text: str) -> str:
    return CLAIMS + text


def parse(key: str) -> ObjectKey | None:
    """None when the key is not an object's."""
    parts = key.split("/", 4)  # "", "registry", group, plural, local
    if len(parts) != 5 or not parts[4]:
        return None
    return ObjectKey(f"{parts[2]}/{parts[3]}", parts[4])


def split_local(text: str) -> tuple[str, str]:
    """(namespace, name)"""
    namespace, _, name = text.rpartition("/")
    return namespace, name
