"""Who owns whom, across all kinds: identities and owner references only, no content. Pure.

A node is known by its UID. Edges may point to owners that are not (yet) known: a reference is just a UID.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from api import meta
from api.meta import Obj
from api.registry import Resource

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


class Owner(NamedTuple):
    uid: str
    api_version: str
    kind: str
    name: str
    blocks: bool  # blockOwnerDeletion: the owner's foreground deletion waits for this dependent


@dataclass(frozen=True, slots=True)
class Node:
    resource: Resource
    namespace: str
    name: str
    uid: str
    owners: tuple[Owner, ...]
    deleting: bool
    foreground: bool  # bears the foregroundDeletion finalizer
    orphaning: bool  # bears the orphan finalizer

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and self.foreground


def node_of(resource: Resource, obj: Obj) -> Node:
    finalizers = obj["metadata"].get("finalizers") or ()
    owners = tuple(
        Owner(str(r["uid"]), r["apiVersion"], r["kind"], r["name"], bool(r.get("blockOwnerDeletion")))
        for r in meta.owner_references(obj)
    )
    return Node(
        resource, meta.namespace(obj), meta.name(obj), meta.uid(obj), owners, meta.is_deleting(obj),
        FOREGROUND in finalizers, ORPHAN in finalizers,
    )  # fmt: skip


class Graph:
    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def put(self, node: Node) -> Node | None:
        """Add or replace; returns what was known before."""
        old = self._nodes.get(node.uid)
        if old is not None:
            self._unlink(old)
        self._nodes[node.uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner.uid, set()).add(node.uid)
        return old

    def remove(self, uid: str) -> Node | None:
        old = self._nodes.pop(uid, None)
        if old is not None:
            self._unlink(old)
        return old

    def dependents(self, uid: str) -> list[Node]:
        return [self._nodes[d] for d in sorted(self._dependents.get(uid, ()))]

    def blocking(self, uid: str) -> list[Node]:
        """The dependents that the foreground deletion of `uid` waits for."""
        return [d for d in self.dependents(uid) if any(o.uid == uid and o.blocks for o in d.owners)]

    def _unlink(self, node: Node) -> None:
        for owner in node.owners:
            siblings = self._dependents.get(owner.uid)
            if siblings is not None:
                siblings.discard(node.uid)
                if not siblings:
                    del self._dependents[owner.uid]
