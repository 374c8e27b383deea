"""How the kernel's table of links, addresses, routes and neighbours is asked and changed: rtnetlink(7), no more of it
than the kubelet and the proxy need. Written out, since the library for all of it costs a process up to 20 MB.

Every refusal is an OSError with the kernel's errno. Calls block for the moment that the kernel takes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Self

# linux/netlink.h, linux/rtnetlink.h
NEW_LINK, DELETE_LINK, GET_LINK, SET_LINK = 16, 17, 18, 19
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_NEIGHBOUR = 28
ADD, REPLACE = 0x400 | 0x200, 0x400 | 0x100  # create, and fail or give way when it is there
_REQUEST_ACK, _REQUEST_DUMP = 0x5, 0x301
_ERROR, _DONE = 2, 3
_KIND_ONLY = 0x3FFF  # the two upper bits of an attribute's number tell how its value is laid out

# linux/if_link.h
LINK_ADDRESS, LINK_NAME, LINK_MTU, LINK_MASTER, LINK_INFO, LINK_NAMESPACE_OF = 1, 3, 4, 10, 18, 19
INFO_KIND, INFO_DATA = 1, 2
_UP = 1

# linux/if_addr.h, linux/rtnetlink.h
ADDRESS, ADDRESS_LOCAL, ADDRESS_LABEL = 1, 2, 3
ROUTE_DESTINATION, ROUTE_LINK, ROUTE_GATEWAY = 1, 4, 5
MAIN_TABLE, STATIC = 254, 4
_UNICAST = 1


class Kernel:
    """A conversation with the network namespace that the calling thread is in when it begins."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._socket.send(_message(kind, _REQUEST_ACK | flags, body))
        for said, answer in self._answers():
            if said != _ERROR:
                raise OSError(errno.EPROTO, f"unexpected netlink answer {said}")
            _check(answer)

    def dump(self, kind: int, family: int = socket.AF_UNSPEC) -> list[bytes]:
        """The bodies of all there is of a kind."""
        self._socket.send(_message(kind, _REQUEST_DUMP, of_link(0, family=family)))
        found: list[bytes] = []
        while True:
            for said, answer in self._answers():
                if said == _DONE:
                    return found
                if said == _ERROR:
                    _check(answer)
                found.append(answer)

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        answer, at = self._socket.recv(1 << 16), 0
        while at < len(answer):
            length, said = struct.unpack_from("=IH", answer, at)
            yield said, answer[at + 16 : at + length]
            at += length + -length % 4


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _check(answer: bytes) -> None:
    (code,) = struct.unpack_from("=i", answer)
    if code:
        raise OSError(-code, os.strerror(-code))


def of_link(index: int, *, up: bool = False, family: int = socket.AF_UNSPEC) -> bytes:
    flags = _UP if up else 0
    return struct.pack("=BxHiII", family, 0, index, flags, flags)


def of_address(index: int, address: bytes, length: int) -> bytes:
    head = struct.pack("=BBBBI", socket.AF_INET, length, 0, 0, index)
    return head + attribute(ADDRESS_LOCAL, address) + attribute(ADDRESS, address)


def of_route(
    destination: bytes, length: int, gateway: bytes, link: int = 0, *, by: int = STATIC, flags: int = 0
) -> bytes:
    """In the main table. `by` is who made it; without a link, the kernel finds the one to the gateway."""
    head = struct.pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, MAIN_TABLE, by, 0, _UNICAST, flags)
    body = attribute(ROUTE_DESTINATION, destination) if length else b""
    body += attribute(ROUTE_GATEWAY, gateway)
    return head + body + (attribute(ROUTE_LINK, number(link)) if link else b"")


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & _KIND_ONLY] = data[at + 4 : at + length]
        at += max(length, 4) + -length % 4
    return found


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def number(value: int) -> bytes:
    return struct.pack("=I", value)
