"""Connections from inside a pod's network namespace, where 127.0.0.1 is the pod's own: only the socket is made
there, in a thread that enters the namespace for that moment."""

from __future__ import annotations

import asyncio
import os
import socket

from kubelet.network import netlink

_LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def connect(pid: int, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To `port` of loopback where process `pid` lives, IPv4 first. OSError says why not."""
    failures = []
    for family, address in _LOOPBACKS:
        try:
            made = await asyncio.to_thread(_socket_in, pid, family)
        except OSError as error:
            failures.append(f"{address}: {_reason(error)}")
            continue
        try:
            await asyncio.get_running_loop().sock_connect(made, (address, port))
            return await asyncio.open_connection(sock=made)
        except OSError as error:
            made.close()
            failures.append(f"dial {address}:{port}: {_reason(error)}")
        except BaseException:
            made.close()
            raise
    raise OSError(f"failed to connect to localhost:{port} inside the pod's network namespace: {'; '.join(failures)}")


def _socket_in(pid: int, family: socket.AddressFamily) -> socket.socket:
    with netlink.namespace(pid):
        made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
