"""Who manages which fields of an object: metadata.managedFields, kept through every write (pure).

An update takes the fields it changes from everybody else; an apply owns what its configuration says, refuses to
change what others own unless forced, and takes away what it owned and no longer says. Rules: KEP-555,
https://kubernetes.io/docs/reference/using-api/server-side-apply/ and k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from api import meta
from api.errors import BadRequest, Conflict, unexplained
from api.meta import Obj
from api.patch import fields, structured, typed
from api.patch.fields import LEAF, Fields
from api.patch.typed import Type
from api.registry import Resource

APPLY, UPDATE = "Apply", "Update"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE_FIRST_APPLY, _ANCIENT = "before-first-apply", "ancient-changes"
_KUBECTL = "kubectl"  # the one manager that takes over from client-side apply
_MOST_UPDATERS = 10
_STRIPPED: Fields = {
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


# --- the wire ---------------------------------------------------------------------------------------------


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
    wire["fieldsType"], wire["fieldsV1"] = "FieldsV1", entry.owned
    if identity.subresource:
        wire["subresource"] = identity.subresource
    return wire


def _store(obj: Obj, managed: Managed) -> None:
    if managed:
        obj["metadata"]["managedFields"] = encode(managed)
    else:
        obj["metadata"].pop("managedFields", None)


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


# --- updates ----------------------------------------------------------------------------------------------


def track(door: Door, new: Obj, old: Obj | None, manager: str) -> None:
    """Note in `new` that `manager` made of `old` (None: of nothing) what it now is, by any write but an apply."""
    before = old if old is not None else {"metadata": {}}
    managed = _given(new, before, door.subresource)
    entries = before["metadata"].get("managedFields")
    new["metadata"].pop("managedFields", None)
    if not managed and old is not None:
        return  # nobody began to keep account, or somebody asked to stop
    start = _bare(old) if old is not None else typed.zero(door.resource)
    try:
        _update(door, start, new, managed, door.identity(manager, UPDATE))
    except typed.Untypable:
        if entries:  # what cannot be told apart is not told of
            new["metadata"]["managedFields"] = entries
        return
    _cap(managed)
    _store(new, managed)


def _bare(obj: Obj) -> Obj:
    metadata = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def _update(door: Door, old: Obj, new: Obj, managed: Managed, me: Identity) -> None:
    changed, removed = _compared(door, old, new)
    _reconcile(door, managed)
    if changed or removed:
        _yield(managed, _conflicts(door, managed, None, old, new, changed, removed))
    mine = fields.difference(changed, _STRIPPED)
    if mine:
        before = managed.get(me)
        owned = fields.union(mine, before.owned) if before else mine
        managed[me] = Entry(owned, door.resource.api_version, meta.rfc3339(door.now))


def _compared(door: Door, old: Obj, new: Obj) -> tuple[Fields, Fields]:
    changed, removed = structured.compare(door.type_, old, new)
    return door.written(changed), door.written(removed)


def _reconcile(door: Door, managed: Managed) -> None:
    """The schema of a custom kind may have changed since an entry was written."""
    if door.resource.custom is None:
        return
    for identity, entry in managed.items():
        if entry.api_version == door.resource.api_version:
            owned = structured.reconcile(door.type_, entry.owned)
            if owned != entry.owned:
                managed[identity] = replace(entry, owned=owned)


class _Loss(NamedTuple):
    """What an entry loses by a change: what others set, what is gone."""

    taken: Fields
    gone: Fields


def _conflicts(
    door: Door, managed: Managed, me: Identity | None, old: Obj, new: Obj, changed: Fields, removed: Fields
) -> dict[Identity, _Loss]:
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
        losses[identity] = _Loss(fields.intersection(entry.owned, more), less)
    return losses


def _yield(managed: Managed, losses: dict[Identity, _Loss]) -> None:
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


# --- apply ------------------------------------------------------------------------------------------------


def apply(door: Door, live: Obj | None, config: Obj, manager: str, *, force: bool) -> Obj:
    """`live` (None: nothing yet) with what `config` says, as a new object that knows its managers.

    Conflict when that would change what others manage; BadRequest when `config` does not fit its kind.
    """
    check(door, config)
    metadata = config.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    resource = door.resource
    kept = live
    if kept is None:
        kept = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}}
    try:
        managed = decode(kept["metadata"].get("managedFields"))
    except ValueError as error:
        raise BadRequest(f"failed to decode managed fields: {error}") from error
    start = _bare(kept)
    try:
        if not managed and live is not None:
            _update(door, typed.zero(resource), start, managed, door.identity(_BEFORE_FIRST_APPLY, UPDATE))
        result = _applied(door, start, config, managed, door.identity(manager, APPLY), force)
    except typed.Untypable as error:
        raise BadRequest(f"failed to create typed live object ({_about(door, kept)}): {error}") from error
    if manager == _KUBECTL:
        _renew_last_applied(result, config)
    _store(result, managed)
    return result


def _about(door: Door, obj: Obj) -> str:
    metadata, resource = obj.get("metadata"), door.resource
    if not isinstance(metadata, dict):
        metadata = {}
    where = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    return f"{where}; {resource.group}/{resource.version}, Kind={resource.kind}"


def check(door: Door, config: Obj) -> None:
    """BadRequest when `config` is of another version or does not fit its kind, naming every field that does not."""
    resource = door.resource
    if (version := config.get("apiVersion") or "") != resource.api_version:
        raise BadRequest(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {version}, expected: {resource.api_version}"
        )
    found = [f"{path}: {why}" if path else why for path, why in typed.misfits(door.type_, config)]
    if found:
        text = found[0] if len(found) == 1 else "\n".join(["errors:", *(f"  {each}" for each in found)])
        raise unexplained(f"failed to create typed patch object ({_about(door, config)}): {text}")


def _applied(door: Door, live: Obj, config: Obj, managed: Managed, me: Identity, force: bool) -> Obj:
    type_ = door.type_
    _reconcile(door, managed)
    merged: Obj = structured.merge(type_, live, config)
    last = managed.get(me)
    said = door.written(structured.members(type_, config))
    managed[me] = Entry(said, door.resource.api_version, last.time if last else "")
    if last is not None and last.owned:
        merged = _pruned(door, merged, managed, last)
    changed, removed = _compared(door, live, merged)
    losses = _conflicts(door, managed, me, live, merged, changed, removed)
    conflicts = {identity: loss.taken for identity, loss in losses.items() if loss.taken}
    if conflicts and not force:
        allowed = _client_side(door, live) if me.manager == _KUBECTL else LEAF
        unsettled = _unsettled(conflicts, allowed)
        if unsettled:
            raise _refusal(unsettled)
    _yield(managed, losses)
    mine = fields.difference(said, _STRIPPED)
    if mine:
        time = meta.rfc3339(door.now) if merged != live else managed[me].time
        managed[me] = replace(managed[me], owned=mine, time=time)
    else:
        del managed[me]
    return merged


def _pruned(door: Door, merged: Obj, managed: Managed, last: Entry) -> Obj:
    """`merged` without what its applier owned, owns no more, and nobody else owns."""
    type_ = door.type_

    def named(owned: Fields) -> Fields:
        return structured.with_structs(type_, owned)

    said: Fields = {}
    for entry in managed.values():
        said = fields.union(said, entry.owned)
    everything = named(structured.members(type_, merged))
    rest = structured.remove(type_, merged, named(last.owned)) or {}
    kept = fields.union(named(structured.members(type_, rest)), named(said))
    rest = structured.remove(type_, merged, fields.difference(everything, kept)) or {}
    lost = fields.difference(everything, named(structured.members(type_, rest)))
    result: Obj = structured.remove(type_, merged, fields.intersection(lost, named(last.owned))) or {}
    return result


def _unsettled(conflicts: dict[Identity, Fields], allowed: Fields) -> list[tuple[Identity, tuple[str, ...]]]:
    """(whom with, where), sorted."""
    return [
        (identity, path)
        for identity in sorted(conflicts, key=Identity.encoded)
        for path in fields.paths(conflicts[identity])
        if not fields.has(allowed, path)
    ]


def _refusal(conflicts: list[tuple[Identity, tuple[str, ...]]]) -> Conflict:
    if len(conflicts) == 1:
        identity, path = conflicts[0]
        text = f"Apply failed with 1 conflict: conflict with {identity}: {fields.shown(path)}"
    else:
        lines = []
        for identity in dict.fromkeys(identity for identity, _ in conflicts):
            lines.append(f"conflicts with {identity}:")
            lines += [f"- {fields.shown(path)}" for other, path in conflicts if other == identity]
        text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {identity}", "field": fields.shown(path)}
        for identity, path in conflicts
    ]
    return Conflict(text, {"causes": causes})


# --- kubectl's own annotation -----------------------------------------------------------------------------


def _client_side(door: Door, live: Obj) -> Fields:
    """What client-side apply set and is still as it set it: kubectl may take that over without force."""
    text = (live["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = orjson.loads(text or "")
        if not isinstance(last, dict) or last.get("apiVersion") != door.resource.api_version:
            return LEAF
        changed, removed = structured.compare(door.type_, last, live)
        owned = structured.members(door.type_, last)
    except ValueError:
        return LEAF
    return fields.difference(fields.difference(owned, changed), removed)


def _renew_last_applied(obj: Obj, config: Obj) -> None:
    """So that client-side apply, used again, knows what was applied."""
    annotations = obj["metadata"].get("annotations") or {}
    if not annotations.get(LAST_APPLIED):
        return
    bare = dict(config)
    metadata = bare["metadata"] = dict(config.get("metadata") or {})
    if metadata.get("annotations"):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    text = orjson.dumps(bare, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    obj["metadata"] = {**obj["metadata"], "annotations": {**annotations, LAST_APPLIED: text}}
