"""From a resource path to the code of its verb. Verbs are generic over rows: a new kind needs nothing here."""

from __future__ import annotations

from api.errors import MethodNotAllowed, NotFound
from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes import (
    binding,
    create,
    delete,
    deletecollection,
    eviction,
    exec,
    finalize,
    get,
    list,
    log,
    patch,
    portforward,
    proxy,
    replace,
    reviews,
    scale,
    status,
    token,
    watch,
)  # fmt: skip
from apiserver.routes.table import Handler, Handlers

_VERBS: Handlers = {
    "get": get.handle,
    "list": list.handle,
    "watch": watch.handle,
    "create": create.handle,
    "update": replace.handle,
    "patch": patch.handle,
    "delete": delete.handle,
    "deletecollection": deletecollection.handle,
}
_SUBRESOURCES: dict[str, Handlers] = {
    "status": status.HANDLERS,
    "approval": status.HANDLERS,
    "ephemeralcontainers": status.HANDLERS,
    "resize": status.HANDLERS,
    "scale": scale.HANDLERS,
    "binding": binding.HANDLERS,
    "eviction": eviction.HANDLERS,
    "finalize": finalize.HANDLERS,
    "token": token.HANDLERS,
    "log": log.HANDLERS,
    "exec": exec.EXEC,
    "attach": exec.ATTACH,
    "portforward": portforward.HANDLERS,
    "proxy": proxy.HANDLERS,
}
_UNSTORED: dict[tuple[str, str], Handler] = {(row.group, row.plural): handler for row, handler in reviews.ROWS} | {
    ("", "bindings"): binding.HANDLERS["create"]
}
UNSTORED_ROWS: tuple[Resource, ...] = (binding.BINDING, *(row for row, _ in reviews.ROWS))

_ON_ONE = frozenset({"get", "update", "patch", "delete"})
_ON_SOME = frozenset({"list", "watch", "deletecollection"})  # a name is then that of the one to select
_LONG_RUNNING = frozenset({"log", "exec", "attach", "portforward", "proxy"})


def served_subresources(res: Resource) -> dict[str, tuple[str, ...]]:
    """The subresources of a row that this server answers, each with its verbs."""
    return {name: tuple(sorted(_SUBRESOURCES[name])) for name in res.subresources if name in _SUBRESOURCES}


def is_long_running(request: Request) -> bool:
    return request.info.verb == "watch" or request.info.subresource in _LONG_RUNNING


async def serve(context: Context, request: Request) -> Answer:
    info = request.info
    if (behind := context.aggregation.find(request.path)) is not None:
        return await context.aggregation.relay(request, behind)
    res = context.registry.by_plural(info.group, info.version, info.resource)
    if res is None:
        await context.definitions.catch_up()
        res = context.registry.by_plural(info.group, info.version, info.resource)
    if res is None:
        raise _no_such_path()
    if res.namespaced:
        if not info.namespace and info.verb not in ("list", "watch", "deletecollection"):
            raise _no_such_path() if info.name else _not_allowed(request)
    elif info.namespace and res.plural != "namespaces":
        raise _no_such_path()
    handler = _handler(request, res)
    request.scope["sampan.served"] = True
    if res.custom is not None and info.verb == "create" and context.definitions.is_terminating(res):
        raise MethodNotAllowed("create not allowed while custom resource definition is terminating")
    answer = await handler(context, request, res)
    if res.deprecation:
        request.warnings.append(res.deprecation)
    return answer


def _handler(request: Request, res: Resource) -> Handler:
    info = request.info
    if info.subresource:
        handlers = _SUBRESOURCES.get(info.subresource)
        proxied = info.subresource == "proxy"
        if handlers is None or info.subresource not in res.subresources or (info.rest and not proxied):
            raise _no_such_path()
        handler = handlers.get("get" if proxied and info.verb == "options" else info.verb)
    elif info.verb not in res.verbs or (bool(info.name) != (info.verb in _ON_ONE) and info.verb not in _ON_SOME):
        handler = None
    else:
        handler = _UNSTORED.get((res.group, res.plural)) or _VERBS.get(info.verb)
    if handler is None:
        raise _not_allowed(request)
    return handler


def _no_such_path() -> NotFound:
    return NotFound("the server could not find the requested resource")


def _not_allowed(request: Request) -> MethodNotAllowed:
    return MethodNotAllowed(
        "the server does not allow this method on the requested resource",
        {"group": request.info.group, "kind": request.info.resource},
    )
