"""pods/exec and pods/attach: a WebSocket passed through to the kubelet of the pod's node, frame by frame.

Each direction reads one frame, writes it, and only then reads the next, so a slow end slows the other down.
Whichever side closes first, the other is closed with the same code.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict

import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from api.errors import ApiError, BadRequest
from api.meta import Obj
from api.registry import Resource
from apiserver.context import Context
from apiserver.kubelet import address_of, from_kubelet, unreachable
from apiserver.request import Receive, Request, Send
from apiserver.response import Answer, Relay
from apiserver.routes.pod import container_of, node_of
from apiserver.routes.table import Handlers

_Remote = websockets.asyncio.client.ClientConnection
_FLAGS = ("stdin", "stdout", "stderr", "tty")

# A client whose WebSocket was refused asks again in an older way (POST and SPDY) and tells its user of that
# answer alone. So the reason of the first refusal is kept for it.
_refusals: OrderedDict[tuple[str, str, bytes], ApiError] = OrderedDict()
_REMEMBERED = 64


async def _exec(context: Context, request: Request, res: Resource) -> Answer:
    query = [("command", c) for c in request.queries.get("command", [])]
    if not query:
        raise BadRequest("you must specify at least 1 command")
    return await _connect(context, request, res, "exec", query)


async def _attach(context: Context, request: Request, res: Resource) -> Answer:
    return await _connect(context, request, res, "attach", [])


async def _connect(
    context: Context, request: Request, res: Resource, verb: str, query: list[tuple[str, str]]
) -> Answer:
    info = request.info
    pod = (await context.store.get(res, info.namespace, info.name)).obj()
    container = container_of(pod, request.query("container"))
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        phase = pod["status"]["phase"]
        raise BadRequest(f"cannot {verb} a container in a completed pod; current phase is {phase}")
    query += [(flag, "true") for flag in _FLAGS if request.flag(flag)]
    node = await node_of(context, pod, container, f"pods/{info.name}")
    path = f"/{verb}/{info.namespace}/{info.name}/{container}"
    asked = (request.user.name, request.path, request.scope["query_string"])
    if request.scope["type"] != "websocket":
        raise _refusals.pop(asked, None) or BadRequest("Upgrade request required")
    try:
        remote = await _dial(context, node, path, query, request.scope.get("subprotocols") or [])
    except ApiError as error:
        _refusals[asked] = error
        while len(_refusals) > _REMEMBERED:
            _refusals.popitem(last=False)
        raise
    return Relay(lambda receive, send: _relay(remote, receive, send))


async def _dial(
    context: Context, node: Obj, path: str, query: list[tuple[str, str]], subprotocols: list[str]
) -> _Remote:
    url = address_of(node).url("wss", path, query)
    try:
        return await websockets.asyncio.client.connect(
            url,
            ssl=context.kubelet.tls,
            subprotocols=[Subprotocol(s) for s in subprotocols] or None,
            compression=None,
            max_size=None,
            ping_interval=None,
            proxy=None,
            open_timeout=30,
        )
    except InvalidStatus as error:
        raise from_kubelet(error.response.status_code, bytes(error.response.body or b"")) from error
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise unreachable(url, error) from error


async def _relay(remote: _Remote, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept", "subprotocol": remote.subprotocol})
    up = asyncio.ensure_future(_upward(remote, receive))
    down = asyncio.ensure_future(_downward(remote, send))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (up, down):
            task.cancel()
        with contextlib.suppress(ConnectionClosed):
            await remote.close()
        code = remote.close_code or 1000
        if not up.done() or up.cancelled():
            await send({"type": "websocket.close", "code": code if code < 5000 and code not in (1005, 1006) else 1000})


async def _upward(remote: _Remote, receive: Receive) -> None:
    """From the client to the kubelet, until the client leaves."""
    while (message := await receive())["type"] == "websocket.receive":
        data = message.get("bytes")
        await remote.send(data if data is not None else message["text"])


async def _downward(remote: _Remote, send: Send) -> None:
    """From the kubelet to the client, until the kubelet closes."""
    async for data in remote:
        if isinstance(data, str):
            await send({"type": "websocket.send", "text": data})
        else:
            await send({"type": "websocket.send", "bytes": data})


EXEC: Handlers = {"get": _exec, "create": _exec}
ATTACH: Handlers = {"get": _attach, "create": _attach}
