"""What a server may send, in which pieces and how it may end (RFC 9112), and what the transport makes of it.

The server is a function that is given what was written and answers with pieces of bytes; None hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pytest

from client.transport import Transport

Piece = bytes | None
Server = Callable[[bytes], Sequence[Piece]]
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire:
    """The loop's side of a connection."""

    def __init__(self, server: Server, protocol: asyncio.Protocol) -> None:
        self.server, self.protocol, self.paused, self.open = server, protocol, 0, True
        protocol.connection_made(self)  # type: ignore[arg-type]  # it has what is used of a transport

    def get_extra_info(self, name: str) -> Any:
        return self

    def setsockopt(self, *option: int) -> None:
        assert len(option) == 3

    def write(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for piece in self.server(data):
            loop.call_soon(self._arrives, piece)

    def _arrives(self, piece: Piece) -> None:
        if piece is None:
            self.abort()
        elif self.open:
            self.protocol.data_received(piece)

    def abort(self) -> None:
        if self.open:
            self.open = False
            self.protocol.connection_lost(None)

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        self.paused -= 1


class Net:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
        self.wires: list[Wire] = []

        async def connect(make: Callable[[], Any], *_: object, **__: object) -> tuple[Any, Any]:
            wire = Wire(server, make())
            self.wires.append(wire)
            return wire, wire.protocol

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", connect)
        self.transport = Transport("http://server:8080", None)
        self.client = httpx.AsyncClient(transport=self.transport, trust_env=False)

    async def get(self) -> str:
        return (await self.client.get("http://server:8080/x")).text


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([_OK], "ok"),
        ([_OK[i : i + 1] for i in range(len(_OK))], "ok"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"1\r\nd\r\n0\r\n\r\n"], "abcd"),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil", b" the end", None], "until the end"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], ""),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", _OK], "ok"),
    ],
    ids=["whole", "byte by byte", "chunked", "until it hangs up", "nothing", "continue"],
)
async def test_an_answer_is_read(monkeypatch: pytest.MonkeyPatch, pieces: list[Piece], text: str) -> None:
    assert await Net(monkeypatch, lambda _: pieces).get() == text


@pytest.mark.parametrize(
    "pieces",
    [[None], [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", None], [b"SSH-2.0-OpenSSH\r\n"]],
    ids=["before the answer", "within it", "no HTTP"],
)
async def test_a_broken_answer_is_an_error_of_httpx(monkeypatch: pytest.MonkeyPatch, pieces: list[Piece]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await Net(monkeypatch, lambda _: pieces).get()


async def test_a_connection_is_used_again_until_the_server_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    answers = [_OK, _OK, closing, _OK]
    net = Net(monkeypatch, lambda _: [answers.pop(0)])
    told = [await net.get() for _ in range(4)]
    assert (told, len(net.wires)) == (["ok", "ok", "", "ok"], 2)


async def test_what_is_sent_past_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    net = Net(monkeypatch, lambda data: seen.append(data) or [_OK])  # type: ignore[func-returns-value]
    url = "http://server:8080/api/v1/nodes/a/status?fieldManager=me"
    assert await net.transport.exchange("PUT", url, {"X": "y"}, b"{}", connect=1, read=1) == (200, b"ok")
    head = b"PUT /api/v1/nodes/a/status?fieldManager=me HTTP/1.1\r\nHost: server:8080\r\nContent-Length: 2\r\n"
    assert seen == [head + b"X: y\r\n\r\n{}"]


async def test_a_silent_server_is_a_timeout_and_its_connection_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(monkeypatch, lambda _: [])
    with pytest.raises(httpx.ReadTimeout):
        await net.transport.exchange("GET", "http://server:8080/", {}, b"", connect=1, read=0)
    assert not net.wires[0].open


async def test_a_server_that_is_faster_than_its_reader_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    much = b"x" * (1 << 21)
    net = Net(monkeypatch, lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(much) + 1), much])
    async with net.client.stream("GET", "http://server:8080/") as response:
        assert net.wires[0].paused
        async for piece in response.aiter_raw():
            assert piece == much
            assert not net.wires[0].paused
            break
    assert not net.wires[0].open  # half read, so of no more use
