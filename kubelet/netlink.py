"""A cable between a pod's network namespace and the node's bridge: the kubelet's one module that speaks netlink.

It takes six messages of rtnetlink(7), written out here: the library for all of them would add 22 MB to a process
that is measured by what it leaves to pods. Everything may be done again, and changes nothing then.

The functions block for the moment that the kernel takes, and enter another namespace with their thread: an event
loop calls them in a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
INTERFACE = "eth0"

# linux/rtnetlink.h, linux/if_link.h, linux/veth.h
_NEW_LINK, _SET_LINK, _NEW_ADDRESS, _NEW_ROUTE = 16, 19, 20, 24
_REQUEST_ACK, _CREATE, _EXCLUSIVE = 0x5, 0x400, 0x200
_ERROR = 2
_LINK_ADDRESS, _LINK_NAME, _LINK_MASTER, _LINK_INFO, _LINK_NAMESPACE_OF = 1, 3, 10, 18, 19
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_ADDRESS, _ADDRESS_LOCAL = 1, 2
_ROUTE_GATEWAY, _ROUTE_LINK = 5, 4
_UP = 1
_MAIN, _STATIC, _UNICAST = 254, 4, 1


def connect(pid: int, link: str, bridge: str, address: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address) -> None:
    """Give the namespace of `pid` an interface with this address, plugged into `bridge` as `link`. OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        with contextlib.suppress(FileExistsError):
            _ask(kernel, _NEW_LINK, _CREATE | _EXCLUSIVE, _veth(link, pid, hardware_address(address.ip)))
        plugged = _of_link(socket.if_nametoindex(link), up=True)
        _ask(kernel, _SET_LINK, 0, plugged + _attribute(_LINK_MASTER, struct.pack("=I", socket.if_nametoindex(bridge))))
    with namespace(pid), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        index = socket.if_nametoindex(INTERFACE)
        _ask(kernel, _SET_LINK, 0, _of_link(index, up=True))
        of_address = struct.pack("=BBBBI", socket.AF_INET, address.network.prefixlen, 0, 0, index)
        own = address.ip.packed
        with contextlib.suppress(FileExistsError):
            _ask(
                kernel, _NEW_ADDRESS, _CREATE | _EXCLUSIVE,
                of_address + _attribute(_ADDRESS_LOCAL, own) + _attribute(_ADDRESS, own),
            )  # fmt: skip
        route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _MAIN, _STATIC, 0, _UNICAST, 0)
        with contextlib.suppress(FileExistsError):
            _ask(
                kernel, _NEW_ROUTE, _CREATE | _EXCLUSIVE,
                route + _attribute(_ROUTE_GATEWAY, gateway.packed) + _attribute(_ROUTE_LINK, struct.pack("=I", index)),
            )  # fmt: skip


@contextlib.contextmanager
def namespace(pid: int) -> Iterator[None]:
    """This thread in the network namespace of a process. Sockets opened in there stay there. OSError."""
    with open("/proc/thread-self/ns/net") as own, open(f"/proc/{pid}/ns/net") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def hardware_address(ip: ipaddress.IPv4Address) -> bytes:
    """Made of the address, as Docker's: who has cached the neighbour finds its successor too."""
    return b"\x02\x42" + ip.packed


def _veth(link: str, pid: int, peer_address: bytes) -> bytes:
    peer = (
        _of_link(0)
        + _attribute(_LINK_NAME, INTERFACE.encode() + b"\0")
        + _attribute(_LINK_ADDRESS, peer_address)
        + _attribute(_LINK_NAMESPACE_OF, struct.pack("=I", pid))
    )
    info = _attribute(_INFO_KIND, b"veth\0") + _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
    return _of_link(0) + _attribute(_LINK_NAME, link.encode() + b"\0") + _attribute(_LINK_INFO, info)


def _of_link(index: int, *, up: bool = False) -> bytes:
    flags = _UP if up else 0
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, flags)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _ask(kernel: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Send one message and read what the kernel says to it. OSError with its errno."""
    kernel.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST_ACK | flags, 1, 0) + body)
    answer = kernel.recv(65536)
    said, code = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
    if said != _ERROR:
        raise OSError(errno.EPROTO, f"unexpected netlink answer {said}")
    if code:
        raise OSError(-code, os.strerror(-code))
