"""PUT: replace an object. Some kinds are created when they are not there."""

from __future__ import annotations

from api import errors, meta
from api.meta import Obj
from api.registry import Resource
from apiserver import decode, managing, negotiate, represent
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.upsert import upsert

# Upstream's strategies whose AllowCreateOnUpdate is true.
_CREATED = {
    "": ("endpoints", "events", "limitranges", "services"),
    "events.k8s.io": ("events",),
    "coordination.k8s.io": ("leases",),
    "rbac.authorization.k8s.io": ("clusterrolebindings", "clusterroles", "rolebindings", "roles"),
}


async def handle(context: Context, request: Request, res: Resource) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    info = request.info
    obj = await decode.read_object(request, res)
    decode.check_names(obj, info.namespace if res.namespaced else "", info.name)

    def replacement(current: Obj | None) -> Obj:
        new: Obj = meta.copied(obj)
        if current is None:
            new["metadata"].pop("resourceVersion", None)
        elif res.needs_version and obj["metadata"].get("resourceVersion") in (None, "", "0"):
            wrong = errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise errors.invalid_object(res.group, res.plural, info.name, [wrong])
        return new

    creates = res.plural in _CREATED.get(res.group, ())
    track = managing.tracker(context, request, res)
    changed, status = await upsert(context, request, res, replacement, creates=creates, track=track)
    return represent.one(form, request, res, changed, context.now(), status)
