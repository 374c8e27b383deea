"""LIST and WATCH of services, endpoint slices and nodes from memory: what the proxy needs of an apiserver."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import Any

from aiohttp import web

from api import meta
from api.builtin import ENDPOINT_SLICES, NODES, SERVICES
from api.registry import Resource

_PATHS = {
    "/api/v1/services": SERVICES,
    "/apis/discovery.k8s.io/v1/endpointslices": ENDPOINT_SLICES,
    "/api/v1/nodes": NODES,
}


class FakeApiserver:
    def __init__(self, listening: socket.socket) -> None:
        self._objects: dict[str, dict[str, meta.Obj]] = {r.plural: {} for r in _PATHS.values()}
        self._watchers: dict[str, list[asyncio.Queue[bytes]]] = {r.plural: [] for r in _PATHS.values()}
        self._revision = 1
        self._loop = asyncio.new_event_loop()
        self._socket = listening
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def put(self, res: Resource, obj: meta.Obj) -> None:
        def change() -> None:
            self._revision += 1
            known = self._objects[res.plural]
            kind = "MODIFIED" if meta.key(obj) in known else "ADDED"
            obj["metadata"].update(resourceVersion=str(self._revision), uid=meta.key(obj))
            obj.update(apiVersion=res.api_version, kind=res.kind)
            known[meta.key(obj)] = obj
            self._tell(res, kind, obj)

        self._loop.call_soon_threadsafe(change)

    def delete(self, res: Resource, key: str) -> None:
        def change() -> None:
            self._revision += 1
            obj = self._objects[res.plural].pop(key)
            obj["metadata"]["resourceVersion"] = str(self._revision)
            self._tell(res, "DELETED", obj)

        self._loop.call_soon_threadsafe(change)

    def close(self) -> None:
        def end_watches() -> None:
            for queues in self._watchers.values():
                for queue in queues:
                    queue.put_nowait(b"")

        self._loop.call_soon_threadsafe(end_watches)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _tell(self, res: Resource, kind: str, obj: meta.Obj) -> None:
        line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
        for queue in self._watchers[res.plural]:
            queue.put_nowait(line)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        for path in _PATHS:
            app.router.add_get(path, self._get)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(self._runner.setup())
        self._loop.run_until_complete(web.SockSite(self._runner, self._socket).start())
        self._started.set()
        self._loop.run_forever()

    async def _get(self, request: web.Request) -> web.StreamResponse:
        res = _PATHS[request.path]
        if request.query.get("watch") not in ("1", "true"):
            return web.json_response(self._list(res))
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        since = int(request.query.get("resourceVersion") or 0)
        for obj in self._objects[res.plural].values():
            if meta.resource_version(obj) > since:
                queue.put_nowait(json.dumps({"type": "MODIFIED", "object": obj}).encode() + b"\n")
        self._watchers[res.plural].append(queue)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while line := await queue.get():
                await response.write(line)
        finally:
            self._watchers[res.plural].remove(queue)
        return response

    def _list(self, res: Resource) -> dict[str, Any]:
        return {
            "apiVersion": res.api_version,
            "kind": f"{res.kind}List",
            "metadata": {"resourceVersion": str(self._revision)},
            "items": list(self._objects[res.plural].values()),
        }
