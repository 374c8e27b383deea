"""pods/exec and pods/attach: the client's connection passed through to the kubelet of the pod's node.

The kubelet is asked in upstream's terms (`input`, `output`, `error`, `tty`). stdout and stderr are always wanted,
whatever the client says: upstream's defaults of PodExecOptions set both.
"""

from __future__ import annotations

from api.registry import Resource
from apiserver.context import Context
from apiserver.kubelet import Query
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.pod import connect, container_of
from apiserver.routes.table import Handlers


async def _exec(context: Context, request: Request, res: Resource) -> Answer:
    return await _connect(context, request, res, [("command", c) for c in request.queries.get("command", [])])


async def _attach(context: Context, request: Request, res: Resource) -> Answer:
    return await _connect(context, request, res, [])


async def _connect(context: Context, request: Request, res: Resource, query: Query) -> Answer:
    info = request.info
    pod = (await context.store.get(res, info.namespace, info.name)).obj()
    container = container_of(pod, request.query("container"))
    query += [("output", "1"), ("error", "1")]
    query += [(to, "1") for asked, to in (("stdin", "input"), ("tty", "tty")) if request.flag(asked)]
    return await connect(context, request, pod, f"/{info.subresource}/{info.namespace}/{info.name}/{container}", query)


EXEC: Handlers = {"get": _exec, "create": _exec}
ATTACH: Handlers = {"get": _attach, "create": _attach}
