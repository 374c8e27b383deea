"""Raw relays and rewritten links, without a network: pipes of this process instead.

Sources: apimachinery/pkg/util/proxy (transport.go, upgradeaware.go), RFC 9110 section 7.6.1 (hop-by-hop headers).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from api.errors import BadRequest
from apiserver.request import Request
from apiserver.routes.proxy import divide, split_name
from apiserver.streaming import links
from apiserver.streaming.proxy import outgoing
from apiserver.streaming.tunnel import CHUNK, _serve, hung_up, pump, splice

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SOURCE = links.Source("/proxy", "10.0.0.1:80", "api:6443")


async def pair() -> tuple[Pipe, Pipe]:
    """The two ends of a connection with small buffers."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    first = await asyncio.open_connection(sock=ends[0])
    return first, await asyncio.open_connection(sock=ends[1])


async def test_a_slow_end_slows_the_other_down() -> None:
    """What lies in the relay is bounded: one piece, the reader's limit and the writer's high water mark."""
    (client, client_out), (near, near_out) = await pair()
    (server, _), (far, far_out) = await pair()
    relay = asyncio.create_task(splice(near, near_out, far, far_out))
    relay.add_done_callback(lambda _: far_out.close())
    sending = asyncio.create_task(pump(endless(), client_out))
    moved, before = 0, -1
    while moved != before:  # until nothing moves any more
        await asyncio.sleep(0.05)
        before, moved = moved, far_out.transport.get_write_buffer_size() + len(near._buffer)  # type: ignore[attr-defined]
    _, high = far_out.transport.get_write_buffer_limits()
    assert 0 < far_out.transport.get_write_buffer_size() <= high + CHUNK
    assert len(near._buffer) <= 4 * CHUNK  # type: ignore[attr-defined]
    assert not sending.done()
    assert await server.read(10) == b"x" * 10  # and it goes on when somebody reads
    sending.cancel()
    client_out.transport.abort()
    async with asyncio.timeout(5):
        while await server.read(CHUNK):
            pass
        await relay
    del client


def endless() -> asyncio.StreamReader:
    class Endless(asyncio.StreamReader):
        async def read(self, n: int = -1) -> bytes:
            await asyncio.sleep(0)
            return b"x" * n

    return Endless()


async def test_a_client_that_leaves_while_nobody_listens_is_noticed() -> None:
    """Its end is not read, since what it sent before is not taken; the socket knows of it all the same."""
    client, near_end = await pair()
    server, far_end = await pair()
    (near, near_out), far_out, client_out = near_end, far_end[1], client[1]
    stuck = asyncio.create_task(pump(near, far_out))
    sending = asyncio.create_task(pump(endless(), client_out))
    watching = asyncio.create_task(hung_up(near_out.transport, 0.02))
    await asyncio.sleep(0.2)
    assert not watching.done() and not stuck.done()
    sending.cancel()
    client_out.transport.abort()
    async with asyncio.timeout(5):
        assert await watching
    assert not stuck.done()
    stuck.cancel()
    server[1].close()


async def test_it_ends_when_either_side_ends_and_the_last_words_arrive() -> None:
    for who in (0, 1):
        (client, client_out), (near, near_out) = await pair()
        (server, server_out), (far, far_out) = await pair()
        ends = ((client, client_out), (server, server_out))
        relay = asyncio.create_task(splice(near, near_out, far, far_out))
        ends[who][1].write(b"last words")
        ends[who][1].close()
        async with asyncio.timeout(5):
            await relay
            far_out.close()
            near_out.close()
            assert await ends[1 - who][0].read() == b"last words"


async def test_after_a_refused_upgrade_nothing_more_goes_up() -> None:
    """What the client sends next would be a request that nobody has checked."""
    (client, client_out), (near, near_out) = await pair()
    (server, server_out), (far, far_out) = await pair()
    head = b"HTTP/1.1 403 Forbidden\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n"
    serving = asyncio.create_task(_serve(near, near_out, far, far_out, head))
    server_out.write(b"no")
    client_out.write(b"GET /secret HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(5):
        answer = await client.readuntil(b"no")
        assert answer == b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
        client_out.close()
        await serving
        assert await server.read() == b""


@pytest.mark.parametrize(
    ("link", "rewritten"),
    [
        ("/a?b#c", "/proxy/a?b#c"),
        ("/a/", "/proxy/a/"),
        ("/proxy/a", "/proxy/a"),
        ("a", "a"),
        ("../a", "../a"),
        ("#top", "#top"),
        ("http://10.0.0.1:80/a", "/proxy/a"),
        ("https://api:6443/a", "/proxy/a"),
        ("https://example.org/a", "https://example.org/a"),
        ("//example.org/a", "//example.org/a"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_links(link: str, rewritten: str) -> None:
    assert SOURCE.link(link) == rewritten


@pytest.mark.parametrize("cut", [1, 3, 1000])
async def test_a_page_passes_but_for_its_links(cut: int) -> None:
    page = (
        "<!DOCTYPE html><?pi x?><!-- <a href='/no'> --><html><head><script src=/s.js>if (a < b) '<a href=\"/no\">'"
        "</script></head><body background='/b.png'><A HREF = \"/x?a=1&amp;b=2\" class=k>&eacute;&#33; 5 < 6</A>"
        '<img src="/i.png"/><form action="post" title="/t"></form>\xe9</body></html>\n'
    ).encode("latin-1")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(page), cut):
            yield page[at : at + cut]

    out = b"".join([piece async for piece in links.rewrite(pieces(), b"", SOURCE)])
    expected = page
    for before in (b"/s.js", b"/b.png", b"/x?", b"/i.png"):
        expected = expected.replace(before, b"/proxy" + before)
    assert out.lower() == expected.lower()


def test_headers_that_stay_behind() -> None:
    given = [
        (b"accept", b"*/*"), (b"authorization", b"Bearer x"), (b"connection", b"keep-alive, X-Hop"),
        (b"x-hop", b"1"), (b"te", b"trailers"), (b"impersonate-user", b"root"), (b"x-remote-group", b"system:masters"),
        (b"expect", b"100-continue"), (b"upgrade", b"websocket"), (b"cookie", b"a=b"),
    ]  # fmt: skip
    assert outgoing(given) == [(b"accept", b"*/*"), (b"cookie", b"a=b")]


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ("/api/v1/namespaces/a/pods/b:80/proxy", ("/api/v1/namespaces/a/pods/b:80/proxy", "")),
        ("/api/v1/namespaces/a/pods/b/proxy/", ("/api/v1/namespaces/a/pods/b/proxy", "/")),
        ("/api/v1/namespaces/a/services/b/proxy/x%2Fy//z/", ("/api/v1/namespaces/a/services/b/proxy", "/x%2Fy//z/")),
        ("/api/v1/nodes/n/proxy/proxy/x", ("/api/v1/nodes/n/proxy", "/proxy/x")),
    ],
)
def test_a_proxied_path_is_divided(raw: str, parts: tuple[str, str]) -> None:
    async def nothing() -> dict[str, object]:
        return {}

    scope = {"path": raw.replace("%2F", "/"), "raw_path": raw.encode(), "query_string": b"", "headers": []}
    assert divide(Request(scope, nothing)) == parts


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("web", ("http", "web", "")),
        ("web:80", ("http", "web", "80")),
        ("https:web:443", ("https", "web", "443")),
        (":web:80", ("http", "web", "80")),
        ("https:web:", ("https", "web", "")),
    ],
)
def test_names_with_scheme_and_port(name: str, parts: tuple[str, str, str]) -> None:
    assert split_name("pod", name) == parts


@pytest.mark.parametrize("name", ["ftp:web:80", "http::80", "a:b:c:d", ":80"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(BadRequest, match="invalid pod request"):
        split_name("pod", name)
