"""Who manages which fields of an object: metadata.managedFields, kept through every write but an apply (pure).

An update takes the fields that it changes from everybody else. Rules: KEP-555 and
k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from api import meta
from api.meta import Obj
from api.patch import fields, structured, typed
from api.patch.entries import APPLY, UPDATE, Entry, Identity, Managed, decode, store
from api.patch.fields import LEAF, Fields
from api.patch.typed import Type
from api.registry import Resource

_ANCIENT = "ancient-changes"
_MOST_UPDATERS = 10
STRIPPED: Fields = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {
        ".": LEAF,
        **{
            f"f:{name}": LEAF
            for name in (
                "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
                "managedFields", "resourceVersion",
            )
        },
    },
}  # fmt: skip

Versions = Callable[[str], "Version | None"]


class Version(NamedTuple):
    """Another version of the kind: its type, and how to read an object of ours in it."""

    type_: Type
    convert: Callable[[Obj], Obj]


def _one_version(_: str) -> Version | None:
    return None


@dataclass(frozen=True, slots=True)
class Door:
    """Where a write comes in: the kind, which of its fields this door does not write, what time it is.

    `reset` are the fields that the door puts back as they were, so that nobody owns them through it; `only`, when
    set, is the one field that it does not. `versions` finds another version of the kind that an entry may speak of;
    entries of versions that are gone are dropped.
    """

    resource: Resource
    now: datetime
    subresource: str = ""
    reset: Fields | None = None
    only: str = ""
    versions: Versions = _one_version

    @property
    def type_(self) -> Type:
        return typed.of(self.resource)

    def identity(self, manager: str, operation: str) -> Identity:
        version = "" if operation == APPLY else self.resource.api_version
        return Identity(manager or "unknown", operation, version, self.subresource)

    def written(self, owned: Fields) -> Fields:
        """Of `owned`, what this door writes."""
        if self.only:
            return {k: v for k, v in owned.items() if k == self.only}
        return fields.prune(owned, self.reset) if self.reset else owned


def _given(new: Obj, old: Obj, subresource: str) -> Managed:
    """What to start from: a client may bring managedFields of its own, or `[]` or `[{}]` to begin anew."""
    theirs = new["metadata"].get("managedFields")
    stored = old["metadata"].get("managedFields")
    if theirs is not None and not subresource and theirs != stored:
        if theirs in ([], [{}]):
            return {}
        try:
            read = {i: replace(e, owned=fields.decode(e.owned)) for i, e in decode(theirs).items()}
        except ValueError:
            read = {}
        if read:
            return read
    try:
        return decode(stored)
    except ValueError:
        return {}


def track(door: Door, new: Obj, old: Obj | None, manager: str) -> None:
    """Note in `new` that `manager` made of `old` (None: of nothing) what it now is, by any write but an apply."""
    before = old if old is not None else {"metadata": {}}
    managed = _given(new, before, door.subresource)
    entries = before["metadata"].get("managedFields")
    new["metadata"].pop("managedFields", None)
    if not managed and old is not None:
        return  # nobody began to keep account, or somebody asked to stop
    start = bare(old) if old is not None else typed.zero(door.resource)
    try:
        note(door, start, new, managed, door.identity(manager, UPDATE))
    except typed.Untypable:
        if entries:  # what cannot be told apart is not told of
            new["metadata"]["managedFields"] = entries
        return
    _cap(managed)
    store(new, managed)


def bare(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def note(door: Door, old: Obj, new: Obj, managed: Managed, me: Identity) -> None:
    changed, removed = compared(door, old, new)
    reconcile(door, managed)
    if changed or removed:
        give_up(managed, losses_of(door, managed, None, old, new, changed, removed))
    mine = fields.difference(changed, STRIPPED)
    if mine:
        before = managed.get(me)
        owned = fields.union(mine, before.owned) if before else mine
        managed[me] = Entry(owned, door.resource.api_version, meta.rfc3339(door.now))


def compared(door: Door, old: Obj, new: Obj) -> tuple[Fields, Fields]:
    changed, removed = structured.compare(door.type_, old, new)
    return door.written(changed), door.written(removed)


def reconcile(door: Door, managed: Managed) -> None:
    """The schema of a custom kind may have changed since an entry was written."""
    if door.resource.custom is None:
        return
    for identity, entry in managed.items():
        if entry.api_version == door.resource.api_version:
            owned = structured.reconcile(door.type_, entry.owned)
            if owned != entry.owned:
                managed[identity] = replace(entry, owned=owned)


class Loss(NamedTuple):
    """What an entry loses by a change: what others set, what is gone."""

    taken: Fields
    gone: Fields


def losses_of(
    door: Door, managed: Managed, me: Identity | None, old: Obj, new: Obj, changed: Fields, removed: Fields
) -> dict[Identity, Loss]:
    """What each other entry loses. Entries of versions that are not served any more go."""
    seen = {door.resource.api_version: (changed, removed)}
    losses = {}
    for identity, entry in list(managed.items()):
        if identity == me:
            continue
        version = entry.api_version
        if version not in seen:
            other = door.versions(version)
            if other is None:
                del managed[identity]
                continue
            more, less = structured.compare(other.type_, other.convert(old), other.convert(new))
            seen[version] = door.written(more), door.written(less)
        more, less = seen[version]
        losses[identity] = Loss(fields.intersection(entry.owned, more), less)
    return losses


def give_up(managed: Managed, losses: dict[Identity, Loss]) -> None:
    for identity, loss in losses.items():
        entry = managed[identity]
        owned = fields.difference(entry.owned, loss.taken) if loss.taken else entry.owned
        owned = fields.difference(owned, loss.gone) if loss.gone else owned
        if not owned:
            del managed[identity]
        elif owned is not entry.owned:
            managed[identity] = replace(entry, owned=owned)


def _cap(managed: Managed) -> None:
    """At most ten updaters: the oldest are put together, one bucket for each version."""
    updaters = [i for i in managed if i.operation == UPDATE]
    if len(updaters) <= _MOST_UPDATERS:
        return
    updaters.sort(key=lambda i: (managed[i].time, i.encoded()))
    first: dict[str, Identity] = {}
    count = len(updaters)
    for identity in updaters:
        if count <= _MOST_UPDATERS:
            break
        entry = managed[identity]
        version = entry.api_version
        if version not in first:
            first[version] = identity
            continue
        bucket = Identity(_ANCIENT, UPDATE, version, "")
        if bucket not in managed:
            managed[bucket] = managed.pop(first[version])
        del managed[identity]
        owned = fields.union(entry.owned, managed[bucket].owned)
        managed[bucket] = Entry(owned, version, entry.time)
        count -= 1
