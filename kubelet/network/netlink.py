"""A cable between a pod's network namespace and the node's bridge, in six messages to the kernel.

Everything may be done again, and changes nothing then.

The functions block for the moment that the kernel takes, and enter another namespace with their thread: an event
loop calls them in a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import socket
from collections.abc import Iterator

from client import rtnetlink as rt
from client.rtnetlink import Kernel, attribute

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_VETH_PEER = 1  # linux/veth.h
INTERFACE = "eth0"


def connect(pid: int, link: str, bridge: str, address: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address) -> None:
    """Give the namespace of `pid` an interface with this address, plugged into `bridge` as `link`. OSError."""
    with Kernel() as kernel:
        with contextlib.suppress(FileExistsError):
            kernel.ask(rt.NEW_LINK, _veth(link, pid, hardware_address(address.ip)), rt.ADD)
        plugged = attribute(rt.LINK_MASTER, rt.number(socket.if_nametoindex(bridge)))
        kernel.ask(rt.SET_LINK, rt.of_link(socket.if_nametoindex(link), up=True) + plugged)
    with namespace(pid), Kernel() as kernel:
        index = socket.if_nametoindex(INTERFACE)
        kernel.ask(rt.SET_LINK, rt.of_link(index, up=True))
        with contextlib.suppress(FileExistsError):
            kernel.ask(rt.NEW_ADDRESS, rt.of_address(index, address.ip.packed, address.network.prefixlen), rt.ADD)
        with contextlib.suppress(FileExistsError):
            kernel.ask(rt.NEW_ROUTE, rt.of_route(b"", 0, gateway.packed, index), rt.ADD)


def links(prefix: str) -> set[str]:
    """Names in this thread's namespace."""
    return {name for _, name in socket.if_nameindex() if name.startswith(prefix)}


def disconnect(link: str) -> None:
    """The other end goes with it, wherever it is. OSError, also when there is none."""
    with Kernel() as kernel:
        kernel.ask(rt.DELETE_LINK, rt.of_link(socket.if_nametoindex(link)))


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
        rt.of_link(0)
        + attribute(rt.LINK_NAME, rt.text(INTERFACE))
        + attribute(rt.LINK_ADDRESS, peer_address)
        + attribute(rt.LINK_NAMESPACE_OF, rt.number(pid))
    )
    info = attribute(rt.INFO_KIND, rt.text("veth")) + attribute(rt.INFO_DATA, attribute(_VETH_PEER, peer))
    return rt.of_link(0) + attribute(rt.LINK_NAME, rt.text(link)) + attribute(rt.LINK_INFO, info)
