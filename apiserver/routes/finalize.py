"""The finalize subresource of namespaces: the namespace controller takes spec.finalizers away when it is done."""

from __future__ import annotations

from api import errors
from api.errors import Conflict
from api.registry import Resource
from apiserver import decode, deletion
from apiserver.admission.chain import Attempt
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer, Reply, json_reply
from apiserver.routes.table import Handlers
from apiserver.routes.update import check_preconditions, remove, to

_TRIES = 16


async def _update(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    wanted = await decode.read_object(request, res)
    decode.check_names(wanted, "", info.name)
    for _ in range(_TRIES):
        current = await context.store.get(res, "", info.name)
        new = current.obj()
        check_preconditions(res, wanted, new)
        new.setdefault("spec", {})["finalizers"] = (wanted.get("spec") or {}).get("finalizers") or []
        attempt = Attempt(
            request.user, "update", res, info.subresource, "", info.name, new, current.obj(), request.dry_run, request
        )
        await context.admission.mutate(attempt)
        if attempt.obj is not new:
            new["spec"]["finalizers"] = (attempt.new().get("spec") or {}).get("finalizers") or []
            attempt.obj = new
        await context.admission.validate(attempt)
        if request.dry_run:
            return json_reply(new)
        try:
            if deletion.is_over(new):
                return json_reply(await remove(context, res, current, new))
            written = await context.store.update(res, "", info.name, to(new), resource_version=str(current.revision))
        except Conflict:
            continue
        return Reply(written.raw)
    raise errors.conflict(res.group, res.plural, info.name)


HANDLERS: Handlers = {"update": _update}
