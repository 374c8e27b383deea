"""The scale subresource: an autoscaling/v1 Scale of anything with spec.replicas and a selector."""

from __future__ import annotations

from collections.abc import Mapping

from api import errors, meta, selectors
from api.builtin import REPLICATION_CONTROLLERS
from api.custom import paths
from api.errors import InternalError, Invalid
from api.meta import Obj
from api.objects import Track
from api.patch import apply as applying
from api.patch.managers import Door
from api.registry import Resource
from apiserver import decode, managing, negotiate, represent
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes import patch
from apiserver.routes.table import Handlers
from apiserver.routes.update import Door as ScaleDoor
from apiserver.routes.update import Transform, change
from apiserver.storage.stored import Stored

_OF_BUILTIN = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".spec.selector",
}
SCALE = Resource("autoscaling", "v1", "Scale", "scales", "scale", True)


def _paths(res: Resource) -> Mapping[str, str]:
    return _OF_BUILTIN if res.custom is None else res.custom.scale


def scale_of(res: Resource, obj: Obj) -> Obj:
    """The object as a Scale."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    where = _paths(res)
    replicas = paths.get(obj, where["specReplicasPath"])
    if replicas is None and res.custom is not None:
        raise InternalError(
            f'Internal error occurred: the spec replicas field "{where["specReplicasPath"]}" does not exist'
        )
    status: Obj = {"replicas": paths.get(obj, where["statusReplicasPath"]) or 0}
    selector = paths.get(obj, where.get("labelSelectorPath", ""))
    if selector and where.get("labelSelectorPath"):
        # A custom kind has it as text, a ReplicationController as plain labels.
        parse = selectors.from_match_labels if res is REPLICATION_CONTROLLERS else selectors.from_label_selector
        status["selector"] = selector if isinstance(selector, str) else str(parse(selector))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {k: obj["metadata"][k] for k in kept if k in obj["metadata"]},
        "spec": {"replicas": replicas or 0},
        "status": status,
    }


def scaled(res: Resource, obj: Obj, scale: Obj) -> Obj:
    """`obj` with the replicas and the preconditions of `scale`. Invalid when there can't be so many."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        raise _negative(meta.name(obj), replicas)
    paths.put(obj, _paths(res)["specReplicasPath"], replicas)
    for name in ("uid", "resourceVersion"):
        if scale["metadata"].get(name):
            obj["metadata"][name] = scale["metadata"][name]
        else:
            obj["metadata"].pop(name, None)
    return obj


def _negative(name: str, replicas: int) -> Invalid:
    why = "must be greater than or equal to 0"
    return errors.invalid_object("autoscaling", "Scale", name, [errors.invalid("spec.replicas", replicas, why)])


async def _get(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    stored = await context.store.get(res, info.namespace, info.name)
    return _answer(context, request, res, stored.obj())


async def _update(context: Context, request: Request, res: Resource) -> Answer:
    scale = await decode.read_object(request, SCALE)
    decode.check_names(scale, request.info.namespace, request.info.name)
    return await _change(context, request, res, lambda obj: scaled(res, obj, scale))


async def _patch(context: Context, request: Request, res: Resource) -> Answer:
    if patch.applies(request):
        return await _apply(context, request, res)
    apply = await patch.read(request, SCALE)
    return await _change(context, request, res, lambda obj: scaled(res, obj, apply(scale_of(res, obj))))


async def _apply(context: Context, request: Request, res: Resource) -> Answer:
    """Applying a Scale applies the replicas of the object itself."""
    manager = managing.manager_of(request, applies=True)
    scale = await patch.read_config(request)
    applying.check(Door(SCALE, context.now()), scale)
    decode.check_names({"metadata": scale.setdefault("metadata", {})}, request.info.namespace, request.info.name)
    config = {"apiVersion": res.api_version, "kind": res.kind, "metadata": scale["metadata"]}
    if (scale.get("spec") or {}).get("replicas") is not None:
        paths.put(config, _paths(res)["specReplicasPath"], scale["spec"]["replicas"])
    transform = patch.applier(request, managing.door(context, res, "scale"), config, manager)
    return await _write(context, request, res, transform, None)


async def _change(context: Context, request: Request, res: Resource, transform: Transform) -> Answer:
    return await _write(context, request, res, transform, managing.tracker(context, request, res))


async def _write(
    context: Context, request: Request, res: Resource, transform: Transform, track: Track | None
) -> Answer:
    info = request.info
    changed = await change(
        context, request.user, res, info.namespace, info.name, transform, subresource="scale",
        dry_run=request.dry_run, track=track, request=request,
        door=ScaleDoor(lambda obj: scale_of(res, obj), lambda obj, scale: scaled(res, obj, scale)),
    )  # fmt: skip
    return _answer(context, request, res, changed.obj() if isinstance(changed, Stored) else changed)


def _answer(context: Context, request: Request, res: Resource, obj: Obj) -> Answer:
    form = negotiate.choose(request.header(b"accept"))
    return represent.one(form, request, SCALE, scale_of(res, obj), context.now())


HANDLERS: Handlers = {"get": _get, "update": _update, "patch": _patch}
