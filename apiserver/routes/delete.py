"""DELETE one object: at once, or marked to wait for its finalizers, its kubelet or its contents."""

from __future__ import annotations

from api import errors, meta
from api.builtin import PODS, SERVICE_ACCOUNTS, SERVICES
from api.errors import BadRequest, Conflict
from api.meta import Obj
from api.registry import Resource
from apiserver import decode, deletion, negotiate, represent
from apiserver.admission.chain import Attempt
from apiserver.auth.user import User
from apiserver.context import Context
from apiserver.deletion import DeleteOptions, Mark, Pending
from apiserver.request import Request
from apiserver.response import Answer, json_reply, success
from apiserver.routes.update import to
from apiserver.storage.stored import Stored

_TRIES = 16
# Kinds whose removal upstream answers with the object; the others with a Status.
_RETURNED = frozenset({(r.group, r.plural) for r in (PODS, SERVICES, SERVICE_ACCOUNTS)})


async def read_options(request: Request) -> DeleteOptions:
    """From the body, or without one from the query."""
    body = await request.body()
    if body.strip():
        data = decode.raw(body, request.header(b"content-type"))
        if not isinstance(data, dict):
            raise BadRequest("error decoding DeleteOptions: the body is not an object")
        options = deletion.options_of(data)
    else:
        options = deletion.options_of(_from_query(request))
    options.dry_run = options.dry_run or request.dry_run
    return options


def _from_query(request: Request) -> Obj:
    data: Obj = {"gracePeriodSeconds": request.integer("gracePeriodSeconds")}
    if request.query("propagationPolicy"):
        data["propagationPolicy"] = request.query("propagationPolicy")
    if request.query("orphanDependents"):
        data["orphanDependents"] = request.flag("orphanDependents")
    return data


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    options = await read_options(request)
    info = request.info
    namespace = info.namespace if res.namespaced else ""
    if res.hooks.careless and options.orphan is None and not options.policy:
        request.warnings.append(res.hooks.careless)
    obj, gone = await delete(context, request.user, res, namespace, info.name, options, request=request)
    if gone and (res.group, res.plural) not in _RETURNED:
        return json_reply(success(res.group, res.plural, info.name, meta.uid(obj)))
    code = 202 if not gone and options.orphan is False else 200
    return represent.one(form, request, res, obj, context.now(), code)


async def delete(
    context: Context,
    user: User,
    res: Resource,
    namespace: str,
    name: str,
    options: DeleteOptions,
    *,
    request: Request | None = None,
    admitted: bool = False,
) -> tuple[Obj, bool]:
    """(the object as it is now or was last, whether it is gone). `admitted`: in another form, as an Eviction."""
    for _ in range(_TRIES):
        current = await context.store.get(res, namespace, name)
        old = current.obj()
        deletion.check_preconditions(res, old, options)
        if not admitted:
            asked = deletion.shown(options)
            attempt = Attempt(user, "delete", res, "", namespace, name, None, old, options.dry_run, request, asked)
            await context.admission.mutate(attempt)
            await context.admission.validate(attempt)
        decision = deletion.decide(res, old, options, context.now())
        if isinstance(decision, Pending):
            return old, False
        if options.dry_run:
            return (decision.obj, False) if isinstance(decision, Mark) else (old, True)
        try:
            if isinstance(decision, Mark):
                revision = str(current.revision)
                stored = await context.store.update(res, namespace, name, to(decision.obj), resource_version=revision)
                return stored.obj(), False
            return (await _remove(context, res, current)).obj(), True
        except Conflict:
            continue
    raise errors.conflict(res.group, res.plural, name)


async def _remove(context: Context, res: Resource, current: Stored) -> Stored:
    def unchanged(found: Obj) -> None:
        if meta.resource_version(found) != current.revision:
            raise errors.conflict(res.group, res.plural, current.name)

    return await context.store.delete(res, current.namespace, current.name, guard=unchanged)
