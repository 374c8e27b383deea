"""Server-side apply (pure).

An apply owns what its configuration says, refuses to change what others own unless forced, and takes away what it
owned, no longer says, and nobody else owns. Rules: KEP-555,
https://kubernetes.io/docs/reference/using-api/server-side-apply/ and sigs.k8s.io/structured-merge-diff.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from api import meta
from api.errors import BadRequest, Conflict, unexplained
from api.meta import Obj
from api.patch import fields, structured, typed
from api.patch.entries import APPLY, UPDATE, Entry, Identity, Managed, decode, store
from api.patch.fields import LEAF, Fields
from api.patch.managers import STRIPPED, Door, bare, compared, give_up, losses_of, note, reconcile

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BEFORE_FIRST_APPLY = "before-first-apply"
_KUBECTL = "kubectl"  # the one manager that takes over from client-side apply


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
    start = bare(kept)
    try:
        if not managed and live is not None:
            note(door, typed.zero(resource), start, managed, door.identity(_BEFORE_FIRST_APPLY, UPDATE))
        result = _applied(door, start, config, managed, door.identity(manager, APPLY), force)
    except typed.Untypable as error:
        raise BadRequest(f"failed to create typed live object ({_about(door, kept)}): {error}") from error
    if manager == _KUBECTL:
        _renew_last_applied(result, config)
    store(result, managed)
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
    reconcile(door, managed)
    merged: Obj = structured.merge(type_, live, config)
    last = managed.get(me)
    said = door.written(structured.members(type_, config))
    managed[me] = Entry(said, door.resource.api_version, last.time if last else "")
    if last is not None and last.owned:
        merged = _pruned(door, merged, managed, last)
    changed, removed = compared(door, live, merged)
    losses = losses_of(door, managed, me, live, merged, changed, removed)
    conflicts = {identity: loss.taken for identity, loss in losses.items() if loss.taken}
    if conflicts and not force:
        allowed = _client_side(door, live) if me.manager == _KUBECTL else LEAF
        unsettled = _unsettled(conflicts, allowed)
        if unsettled:
            raise _refusal(unsettled)
    give_up(managed, losses)
    mine = fields.difference(said, STRIPPED)
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
