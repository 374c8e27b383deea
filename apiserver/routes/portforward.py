"""pods/portforward: the client's connection passed through to the kubelet of the pod's node."""

from __future__ import annotations

from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.pod import admit, connect
from apiserver.routes.table import Handlers


async def _forward(context: Context, request: Request, res: Resource) -> Answer:
    info = request.info
    ports = [port for asked in request.queries.get("ports", []) for port in asked.split(",")]
    numbers = [int(port) for port in ports if port.isdigit()]
    await admit(context, request, res, {"kind": "PodPortForwardOptions", "ports": numbers})
    pod = (await context.store.get(res, info.namespace, info.name)).obj()
    query = [("port", ports) for ports in request.queries.get("ports", [])]
    return await connect(context, request, pod, f"/portForward/{info.namespace}/{info.name}", query)


HANDLERS: Handlers = {"get": _forward, "create": _forward}
