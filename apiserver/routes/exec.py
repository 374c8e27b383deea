"""pods/exec and pods/attach: the client's connection passed through to the kubelet of the pod's node.

The kubelet is asked in upstream's terms (`input`, `output`, `error`, `tty`). stdout and stderr are always wanted,
whatever the client says: upstream's defaults of PodExecOptions set both.
"""

from __future__ import annotations

from api.meta import Obj
from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request
from apiserver.response import Answer
from apiserver.routes.pod import admit, connect, container_of
from apiserver.routes.table import Handlers


async def _exec(context: Context, request: Request, res: Resource) -> Answer:
    return await _connect(context, request, res, {"kind": "PodExecOptions", "command": request.queries.get("command")})


async def _attach(context: Context, request: Request, res: Resource) -> Answer:
    return await _connect(context, request, res, {"kind": "PodAttachOptions"})


async def _connect(context: Context, request: Request, res: Resource, options: Obj) -> Answer:
    info = request.info
    options |= {"stdin": request.flag("stdin"), "stdout": True, "stderr": True, "tty": request.flag("tty")}
    options = await admit(context, request, res, options | {"container": request.query("container")})
    pod = (await context.store.get(res, info.namespace, info.name)).obj()
    container = container_of(pod, options.get("container") or "")
    query = [("command", command) for command in options.get("command") or []]
    query += [("output", "1"), ("error", "1")]
    query += [(to, "1") for asked, to in (("stdin", "input"), ("tty", "tty")) if options.get(asked)]
    return await connect(context, request, pod, f"/{info.subresource}/{info.namespace}/{info.name}/{container}", query)


EXEC: Handlers = {"get": _exec, "create": _exec}
ATTACH: Handlers = {"get": _attach, "create": _attach}
