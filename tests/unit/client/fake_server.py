"""A scripted apiserver behind httpx.MockTransport: each test says what the next answers are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson

from client.clock import FakeClock
from client.http import ApiClient
from client.kubeconfig import RestConfig

Answer = Callable[[httpx.Request], httpx.Response]


def status(code: int, reason: str) -> httpx.Response:
    return httpx.Response(code, json={"kind": "Status", "reason": reason, "message": reason, "code": code})


def pod(name: str, revision: int, uid: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(revision)
        },
        **fields,
    }  # fmt: skip


class Pieces(httpx.AsyncByteStream):
    def __init__(self, events: list[bytes], hang: bool) -> None:
        self._events, self._hang = events, hang

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event
        if self._hang:
            await asyncio.Event().wait()


def watched(*events: tuple[str, dict[str, Any]], hang: bool = False, cut: int = 7) -> httpx.Response:
    """A watch body in awkward pieces of `cut` bytes; it stays open when `hang`."""
    body = b"".join(orjson.dumps({"type": t, "object": o}) + b"\n" for t, o in events)
    return httpx.Response(200, stream=Pieces([body[i : i + cut] for i in range(0, len(body), cut)], hang))


def listed(revision: int, *items: dict[str, Any]) -> httpx.Response:
    return httpx.Response(
        200, json={"kind": "List", "metadata": {"resourceVersion": str(revision)}, "items": list(items)}
    )


class FakeServer:
    """Answers requests from `script` in order, then hangs; keeps what was asked."""

    def __init__(self, clock: FakeClock, *script: httpx.Response | Exception) -> None:
        self.asked: list[httpx.Request] = []
        self._script = list(script)
        self.client = ApiClient(RestConfig("http://fake"), clock=clock, transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if not self._script:
            await asyncio.Event().wait()
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def queries(self) -> list[dict[str, str]]:
        return [dict(r.url.params) for r in self.asked]


class FakeObjects:
    """A store of objects with resourceVersions, enough of an apiserver for elections and events."""

    def __init__(self, clock: FakeClock) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.away = False
        self._revision = 0
        self._clock = clock

    def client(self) -> ApiClient:
        return ApiClient(RestConfig("http://fake"), clock=self._clock, transport=httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused")
        self.asked.append((request.method, request.url.path))
        body = orjson.loads(request.content) if request.content else {}
        path = request.url.path
        match request.method:
            case "POST":
                path = f"{path}/{body['metadata']['name']}"
                if path in self.objects:
                    return status(409, "AlreadyExists")
                return self._put(path, body)
            case "GET":
                return self._found(path)
            case "PUT":
                if path not in self.objects:
                    return status(404, "NotFound")
                current = self.objects[path]["metadata"]["resourceVersion"]
                if body["metadata"].get("resourceVersion") not in (None, "", current):
                    return status(409, "Conflict")
                return self._put(path, body)
            case "PATCH":
                if path not in self.objects:
                    return status(404, "NotFound")
                return self._put(path, {**self.objects[path], **body})
        return status(405, "MethodNotAllowed")

    def _found(self, path: str) -> httpx.Response:
        return httpx.Response(200, json=self.objects[path]) if path in self.objects else status(404, "NotFound")

    def _put(self, path: str, obj: dict[str, Any]) -> httpx.Response:
        self._revision += 1
        self.objects[path] = {
            **obj,
            "metadata": {**obj["metadata"], "resourceVersion": str(self._revision)},
        }
        return httpx.Response(200, json=self.objects[path])
