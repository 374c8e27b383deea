"""The read-change-write loop that every change of an object goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from api import errors, meta, objects
from api.errors import ApiError, Conflict, NotFound
from api.meta import Obj
from api.objects import Track
from api.registry import Resource
from apiserver import allocation, decode, deletion
from apiserver.admission.chain import Attempt
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.request import Request
from apiserver.routes.create import assign
from apiserver.storage.store import Change, ClaimTaken, Put
from apiserver.storage.stored import Stored

Transform = Callable[[Obj], Obj]


class Door(NamedTuple):
    """A subresource with a kind of its own: how it shows an object, and how it puts what was shown, when admission has
    changed it, into the object."""

    show: Callable[[Obj], Obj]
    put: Callable[[Obj, Obj], Obj]


_TRIES = 16


async def change(
    context: Context,
    user: User,
    res: Resource,
    namespace: str,
    name: str,
    transform: Transform,
    *,
    subresource: str = "",
    dry_run: bool = False,
    track: Track | None = None,
    request: Request | None = None,
    door: Door | None = None,
) -> Stored | Obj:
    """Change one object: transform(a copy of the current one) → the wanted one, which may carry a uid and a
    resourceVersion as preconditions. `track` notes who did it, unless `transform` does. `request` is the one whose
    client wants it; None when it is the server itself. `door` is how a subresource shows the object to admission.

    Works on the cached object first; when that ends in a refusal or in no change, looks whether it was the current
    one before it believes so, and works again on that, as when another writer was faster.
    """
    fresh = False
    refused: ApiError | None = None
    seen = -1  # the revision that was refused, or is as it should be
    avoid: set[str] = set()
    for _ in range(_TRIES):
        try:
            current = await context.store.get(res, namespace, name, resource_version="" if fresh else "0")
        except NotFound:
            if fresh:
                raise
            fresh = True
            continue
        if seen == current.revision:
            if refused is not None:
                raise refused
            return current if dry_run else await context.store.renew(res, current)
        attempt = Attempt(
            user, "update", res, subresource, current.namespace, current.name, None, None, dry_run, request
        )
        try:
            wanted = await _wanted(context, attempt, current, transform, avoid, track, door)
        except ApiError as error:
            if fresh:
                raise
            refused, seen, fresh = error, current.revision, True
            continue
        if wanted is None:
            if fresh:
                return current if dry_run else await context.store.renew(res, current)
            refused, seen, fresh = None, current.revision, True
            continue
        new, picked = wanted
        if dry_run:
            return new
        try:
            return await _write(context, res, current, new, attempt.put)
        except Conflict:
            fresh = True
        except ClaimTaken as lost:
            if lost.claim not in picked:
                raise allocation.taken(new, lost.claim) from lost
            avoid.add(lost.claim)
    raise errors.conflict(res.group, res.plural, name)


async def _wanted(
    context: Context,
    attempt: Attempt,
    current: Stored,
    transform: Transform,
    avoid: set[str],
    track: Track | None,
    door: Door | None,
) -> tuple[Obj, set[str]] | None:
    """(the new object, admitted and checked, the claims picked for it); None when it is the old one, which is admitted
    all the same."""
    res, subresource = attempt.res, attempt.subresource
    old = current.obj()
    new = transform(current.obj())
    check_preconditions(res, new, old)
    objects.for_update(res, new, old, subresource=_ruled_by(res, subresource), track=track)
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    attempt.obj, attempt.old = shown = (new, old) if door is None else (door.show(new), door.show(old))
    await context.admission.mutate(attempt)
    if attempt.obj is not shown[0]:  # another in its place may have anything
        decode.check_names(attempt.new(), current.namespace, current.name)
        new = attempt.new() if door is None else door.put(new, attempt.new())
        check_preconditions(res, new, old)
        objects.for_update(res, new, old, subresource=_ruled_by(res, subresource))
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        attempt.obj = new if door is None else door.show(new)
    picked = set() if subresource else await assign(context, res, new, old, avoid)
    same = objects.equal(new, old) and not current.outdated
    if not same:
        objects.check(res, new, old, subresource=_ruled_by(res, subresource))
    await context.admission.validate(attempt)
    return None if same else (new, picked)


def _ruled_by(res: Resource, subresource: str) -> str:
    """Whose rules apply: the object's own ("") or those of a subresource that changes its status."""
    return subresource if subresource == "status" or subresource in res.hooks.doors else ""


async def _write(context: Context, res: Resource, current: Stored, new: Obj, put: Put | None) -> Stored | Obj:
    if deletion.is_over(new):
        return await remove(context, res, current, new)
    revision = new["metadata"]["resourceVersion"]
    return await context.store.update(res, current.namespace, current.name, to(new), resource_version=revision, put=put)


async def remove(context: Context, res: Resource, current: Stored, new: Obj) -> Obj:
    """The last finalizer is gone: instead of writing `new`, remove the object. Conflict when it has changed."""

    def unchanged(found: Obj) -> None:
        if found["metadata"].get("resourceVersion") != str(current.revision):
            raise errors.conflict(res.group, res.plural, current.name)

    await context.store.delete(res, current.namespace, current.name, guard=unchanged)
    return new


def to(obj: Obj) -> Change:
    """A store change that writes `obj`, whatever is there; to be pinned to a resourceVersion."""
    return lambda _: obj


def check_preconditions(res: Resource, new: Obj, old: Obj) -> None:
    """The uid and resourceVersion that an update names must be those of the object."""
    wanted, found = new.get("metadata") or {}, old["metadata"]
    if wanted.get("uid") and wanted["uid"] != found.get("uid"):
        raise errors.conflict(
            res.group, res.plural, meta.name(old),
            f"Precondition failed: UID in precondition: {wanted['uid']}, UID in object meta: {found.get('uid')}",
        )  # fmt: skip
    version = wanted.get("resourceVersion")
    if version and version != "0" and version != found.get("resourceVersion"):
        raise errors.conflict(res.group, res.plural, meta.name(old))
