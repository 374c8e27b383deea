"""POST a new object."""

from __future__ import annotations

from api import errors, meta, objects
from api.builtin import SERVICES
from api.errors import AlreadyExists, InternalError
from api.meta import Obj
from api.objects import Track
from api.registry import Resource
from apiserver import allocation, decode, managing, negotiate, represent
from apiserver.admission.chain import Attempt
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.storage.store import ClaimTaken
from apiserver.storage.stored import Stored

_NAME_TRIES = 8
_CLAIM_TRIES = 64


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    obj = await decode.read_object(request, res)
    decode.check_names(obj, request.info.namespace if res.namespaced else "", request.info.name)
    track = managing.tracker(context, request, res)
    made = await create(context, request.user, res, obj, dry_run=request.dry_run, track=track, request=request)
    return represent.one(form, request, res, made, context.now(), 201)


async def create(
    context: Context,
    user: User,
    res: Resource,
    obj: Obj,
    *,
    dry_run: bool = False,
    track: Track | None = None,
    request: Request | None = None,
) -> Stored | Obj:
    """Admit and store `obj`. A generated name or address that turns out to be taken is chosen again.

    `request` is the one whose client wants it; None when it is the server itself.
    """
    metadata = obj["metadata"]
    if not metadata.get("name") and not metadata.get("generateName"):
        raise errors.invalid_object(
            res.group, res.kind, "", [errors.required("metadata.name", "name or generateName is required")]
        )
    objects.begin(res, obj, track)
    namespace = meta.namespace(obj)
    attempt = Attempt(user, "create", res, "", namespace, metadata.get("name", ""), obj, None, dry_run, request)
    await context.admission.mutate(attempt)
    if attempt.obj is not obj:  # another in its place may have anything
        obj = attempt.new()
        decode.check_names(obj, namespace, request.info.name if request is not None else "")
        objects.begin(res, obj)
    metadata = obj["metadata"]
    prefix = "" if metadata.get("name") else metadata.get("generateName", "")
    objects.complete(res, obj, context.now())
    attempt.name = metadata.get("name", "")
    picked: set[str] = set()
    avoid: set[str] = set()
    names = 1
    while len(avoid) < _CLAIM_TRIES:
        picked |= await assign(context, res, obj, None, avoid)
        objects.check(res, obj, None)
        await context.admission.validate(attempt)
        if dry_run:
            await _check_absent(context, res, obj)
            return obj
        try:
            return await context.store.create(res, obj, put=attempt.put)
        except ClaimTaken as lost:
            _again(obj, lost.claim, picked, avoid)
        except AlreadyExists:
            if not prefix or names == _NAME_TRIES:
                raise
            names += 1
            metadata["name"] = attempt.name = objects.generate_name(prefix)
    raise InternalError(f"no free address or port for {res.kind} was found in {_CLAIM_TRIES} tries")


async def assign(context: Context, res: Resource, obj: Obj, old: Obj | None, avoid: set[str]) -> set[str]:
    """Addresses and ports, for the one kind that has them: the claims that were picked, not asked for."""
    if res is not SERVICES:
        return set()
    return await context.allocator.assign(obj, old, avoid)


def _again(obj: Obj, claim: str, picked: set[str], avoid: set[str]) -> None:
    """After a lost claim: forget what was picked so that it is picked anew, or refuse what was asked for."""
    if claim not in picked:
        raise allocation.taken(obj, claim)
    avoid.add(claim)
    if claim.startswith("clusterip/"):
        obj["spec"].pop("clusterIP", None)
        obj["spec"].pop("clusterIPs", None)
    else:
        number = int(claim.rpartition("/")[2])
        if obj["spec"].get("healthCheckNodePort") == number:
            del obj["spec"]["healthCheckNodePort"]
        for port in obj["spec"].get("ports") or []:
            if port.get("nodePort") == number:
                port.pop("nodePort")


async def _check_absent(context: Context, res: Resource, obj: Obj) -> None:
    try:
        await context.store.get(res, meta.namespace(obj), meta.name(obj))
    except errors.NotFound:
        return
    raise errors.already_exists(res.group, res.plural, meta.name(obj))
