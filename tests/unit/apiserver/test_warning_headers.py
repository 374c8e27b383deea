"""Warnings as headers: RFC 7234 section 5.5, and the limits of k8s.io/apiserver/pkg/endpoints/filters/warning.go."""

from __future__ import annotations

from typing import Any

from apiserver.request import Request
from apiserver.response import Reply


async def sent(*texts: str) -> list[bytes]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError("a reply reads nothing")

    request = Request({"type": "http", "path": "/", "query_string": b"", "headers": []}, receive)
    request.warnings.extend(texts)
    await Reply(b"{}").send(request, send)
    return [value for name, value in messages[0]["headers"] if name == b"warning"]


async def test_a_warning_is_quoted() -> None:
    assert await sent('say "a\\b" Ω') == ['299 - "say \\"a\\\\b\\" Ω"'.encode()]


async def test_what_would_break_the_header_is_left_out() -> None:
    assert await sent("a\r\nset-cookie: x", "b\x00", "c\x85", "d") == [b'299 - "d"']


async def test_long_ones_are_cut_when_they_are_too_much_together() -> None:
    assert [len(one) for one in await sent("x" * 4096)] == [4096 + 8]
    assert [len(one) for one in await sent("x" * 4000, "y" * 97)] == [256 + 8, 97 + 8]
    assert len(await sent(*(f"{number:0300}" for number in range(100)))) == 16
