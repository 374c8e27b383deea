"""What log, exec, attach and port-forward have in common: which container is meant, and the way to its kubelet."""

from __future__ import annotations

from dataclasses import replace

from api.builtin import NODES
from api.errors import BadRequest, ServiceUnavailable, Unexplained
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt
from apiserver.context import Context
from apiserver.kubelet import Query, address_of
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.streaming import tunnel

_LISTS = ("initContainers", "containers", "ephemeralContainers")


def container_of(pod: Obj, asked: str) -> str:
    """BadRequest when the pod has no such container, or several and none was named (pod/strategy.go)."""
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [c["name"] for kind in _LISTS for c in spec.get(kind) or []]
    if asked:
        if asked not in names:
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    main = spec.get("containers") or []
    if len(main) == 1:
        return str(main[0]["name"])
    raise BadRequest(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")


async def node_of(context: Context, pod: Obj) -> Obj:
    """The Node of a pod. BadRequest while the pod has none."""
    name = pod["spec"].get("nodeName")
    if not name:
        raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
    return (await context.store.get(NODES, "", name)).obj()


async def admit(context: Context, request: Request, res: Resource, options: Obj) -> Obj:
    """The options of a connection (a PodExecOptions and the like), as admission leaves them.

    KEP-4006: a WebSocket is asked for with GET, but who may `get` may not therefore do as much as who may `create`.
    """
    info = request.info
    if info.subresource != "proxy" and tunnel.is_websocket(request):
        context.authorizer.check(request.user, replace(info, verb="create"))
    shown = {k: v for k, v in options.items() if v}
    attempt = Attempt(
        request.user, "connect", res, info.subresource, info.namespace, info.name, {"apiVersion": "v1", **shown}, None,
        request=request,
    )  # fmt: skip
    await context.admission.mutate(attempt)
    await context.admission.validate(attempt)
    return attempt.new()


async def connect(context: Context, request: Request, pod: Obj, path: str, query: Query) -> Answer:
    """Pass an upgraded connection through to the pod's kubelet, which speaks all its protocols."""
    node = await node_of(context, pod)
    if not tunnel.wanted(request):
        raise BadRequest("Upgrade request required")
    url = address_of(node).url("https", path, query)
    try:
        return await context.proxy.relay(request, url, tls=context.kubelet.tls)
    except ServiceUnavailable as error:  # upstream's proxy gives this one no reason
        raise Unexplained(error.message.replace("error trying to reach service", "error dialing backend")) from error
