"""What a request is answered with: `Reply` (bytes at hand) or `Stream` (bytes as they come).

Both know how to send themselves over ASGI. Bodies over 128 KB are gzipped for clients that ask.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any

import orjson

from api.errors import ApiError
from api.meta import Obj
from apiserver import encoding
from apiserver.request import Receive, Request, Send

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
_GZIP_FROM = 128 * 1024
_CHUNK = 128 * 1024
_BINARY = ("binary.k8s.io", "base64.binary.k8s.io")
Header = tuple[bytes, bytes]
_UNCACHED: Header = (b"cache-control", b"no-cache, private")


class Reply:
    """A whole answer. `pieces`, with `between` between them, are sent as one body; large ones in chunks, so that slow
    readers push back."""

    __slots__ = ("between", "content_type", "headers", "pieces", "size", "status")

    def __init__(
        self,
        pieces: bytes | Sequence[bytes],
        status: int = 200,
        content_type: bytes = JSON,
        headers: Sequence[Header] = (),
        between: bytes = b"",
    ) -> None:
        self.pieces = [pieces] if isinstance(pieces, bytes) else pieces
        self.between = between
        self.size = 0  # of the body as it was sent
        self.status = status
        self.content_type = content_type
        self.headers = headers

    async def send(self, request: Request, send: Send) -> None:
        pieces, between, content_type = self.pieces, self.between, self.content_type
        if content_type is JSON and (other := encoding.wanted(request)) is not None:
            encode, content_type = other
            pieces = [await asyncio.to_thread(encode, between.join(pieces))]
        size = sum(map(len, pieces)) + len(between) * (len(pieces) - 1) if len(pieces) > 1 else len(pieces[0])
        headers = [(b"content-type", content_type)] if content_type else []
        headers += self.headers
        headers += request.answer_headers
        if request.warnings:
            headers += _warnings(request)
        said = {name for name, _ in self.headers}
        if b"cache-control" not in said:
            headers.append(_UNCACHED)
        if size > _GZIP_FROM and b"content-encoding" not in said and "gzip" in request.header(b"accept-encoding"):
            body = await asyncio.to_thread(_gzip, pieces, between, size)
            pieces, size = [body], len(body)
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        self.size = size
        if self.status != 304:  # what it says here would replace what the client has cached
            headers.append((b"content-length", b"%d" % size))
        whole = request.scope.get("sampan.whole")
        if whole is not None and size <= _CHUNK:
            whole(self.status, headers, pieces if len(pieces) == 1 else [between.join(pieces)])
            return
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if size <= _CHUNK:
            body = pieces[0] if len(pieces) == 1 else between.join(pieces)
            await send({"type": "http.response.body", "body": body})
            return
        for chunk in _chunks(pieces, between, size):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _chunks(pieces: Sequence[bytes], between: bytes, size: int) -> Iterator[bytes]:
    """The pieces, some of them joined at a time: chunks worth sending, so that a large list is never copied whole."""
    step = max(1, len(pieces) * _CHUNK // size)
    for at in range(0, len(pieces), step):
        some = pieces[at : at + step]
        yield between.join(some if at + step >= len(pieces) else [*some, b""])


def _gzip(pieces: Sequence[bytes], between: bytes, size: int) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(chunk) for chunk in _chunks(pieces, between, size)), packer.flush()])


class Stream:
    """An answer that goes on: a watch or a followed log. Ends when the source ends, the client leaves, or
    the server stops; always with a proper end of body."""

    __slots__ = ("chunks", "content_type", "headers", "status")

    def __init__(
        self,
        chunks: AsyncIterator[bytes],
        content_type: bytes = JSON,
        status: int = 200,
        headers: Sequence[Header] = (),
    ) -> None:
        self.chunks = chunks
        self.content_type = content_type
        self.status = status
        self.headers = headers

    async def send(self, request: Request, send: Send) -> None:
        headers = [*self.headers, *request.answer_headers, _UNCACHED, *_warnings(request)]
        if self.content_type:
            headers.append((b"content-type", self.content_type))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        async for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send_frames(self, receive: Receive, send: Send, asked: Sequence[str]) -> None:
        """Over WebSocket: each line of JSON is a text frame; plain text (logs) comes as binary frames, or in base64
        for who asks for that protocol (apiserver/pkg/util/wsstream stream.go). Ends when the source does or the
        client leaves."""
        protocol = next((p for p in asked if p in _BINARY), None)
        await send({"type": "websocket.accept", "subprotocol": protocol})
        if self.content_type == JSON:
            work = self._send_lines(send)
        else:
            work = self._send_pieces(send, base64=protocol == "base64.binary.k8s.io")
        sending, gone = asyncio.ensure_future(work), asyncio.ensure_future(_closed(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            gone.cancel()

    async def _send_lines(self, send: Send) -> None:
        async for chunk in self.chunks:
            for line in chunk.splitlines(keepends=True):
                await send({"type": "websocket.send", "text": line.decode()})
        await send({"type": "websocket.close", "code": 1000})

    async def _send_pieces(self, send: Send, *, base64: bool) -> None:
        await send({"type": "websocket.send", **({"text": ""} if base64 else {"bytes": b""})})  # it stands
        async for chunk in self.chunks:
            body = {"text": b64encode(chunk).decode()} if base64 else {"bytes": chunk}
            await send({"type": "websocket.send", **body})
        await send({"type": "websocket.close", "code": 1000})


async def _closed(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


class Tunnel:
    """The client's connection itself, to be taken over by `serve(reader, writer)`: it writes even the answer's
    head. `refuse` is called instead when the client has gone meanwhile. Only for requests that ask for an upgrade
    (`sampan.upgrade` in their scope)."""

    __slots__ = ("refuse", "serve")

    def __init__(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
        refuse: Callable[[], None],
    ) -> None:
        self.serve = serve
        self.refuse = refuse


Answer = Reply | Stream | Tunnel


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ALL_WARNINGS, _ONE_WARNING = 4096, 256  # characters: when there are more in all, each is cut


def _warnings(request: Request) -> list[Header]:
    """RFC 7234 warn-code 299, as upstream's warning package writes it: what has control characters is left out."""
    headers: list[Header] = []
    texts = [text for text in request.warnings if _CONTROL.search(text) is None]
    cut, left = sum(map(len, texts)) > _ALL_WARNINGS, _ALL_WARNINGS
    for whole in texts:
        if left <= 0:
            break
        text = whole[:_ONE_WARNING] if cut else whole
        left -= len(text)
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        headers.append((b"warning", f'299 - "{quoted}"'.encode()))
    return headers


def json_reply(obj: Obj, status: int = 200, headers: Sequence[Header] = ()) -> Reply:
    return Reply(orjson.dumps(obj), status, JSON, headers)


def error_reply(error: ApiError) -> Reply:
    headers: list[Header] = []
    if error.details.get("retryAfterSeconds"):  # without it clients ask their user instead of trying again
        headers.append((b"retry-after", b"%d" % error.details["retryAfterSeconds"]))
    if error.code == 401:
        headers.append((b"www-authenticate", b'Basic realm="kubernetes-master"'))
    return json_reply(error.status(), error.code, headers)


def success(group: str, plural: str, name: str, uid: str) -> Obj:
    """The Status that says that an object was deleted."""
    details = {"name": name, "group": group, "kind": plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {k: v for k, v in details.items() if v},
    }
