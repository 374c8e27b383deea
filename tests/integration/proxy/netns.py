"""Network namespaces (named without PREFIX) and the sockets made in them. A socket stays in the namespace it was made in, so servers and
clients of many "machines" live in this one process.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
PREFIX = f"sp{os.getpid()}-"  # two runs on one machine keep out of each other's way
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def sh(command: str, netns: str = "") -> str:
    """stdout of a shell command; AssertionError with its stderr."""
    argv = ["nsenter", f"--net=/run/netns/{PREFIX}{netns}"] if netns else []
    done = subprocess.run([*argv, "sh", "-ec", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[:200]!r} in {netns or 'the host'}: {done.stderr}"
    return done.stdout


def inside(netns: str, call: Callable[[], T]) -> T:
    """`call()` in a thread of its own that has entered the namespace."""
    results: list[T] = []
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with open(f"/run/netns/{PREFIX}{netns}") as handle:
                if _libc.setns(handle.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            results.append(call())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def connect(netns: str, ip: str, port: int, seconds: float = 2) -> socket.socket:
    return inside(netns, lambda: socket.create_connection((ip, port), timeout=seconds))


def ask(netns: str, ip: str, port: int, seconds: float = 2) -> tuple[str, str]:
    """(who answered, the address it saw us from)."""
    with connect(netns, ip, port, seconds) as connection:
        who, _, seen = connection.recv(200).decode().partition(" ")
        return who, seen


class Server:
    """Tells each TCP client the server's name and the client's address, then echoes; UDP: just answers so."""

    def __init__(self, netns: str, name: str, port: int = 8080) -> None:
        self.name = name
        self._tcp = inside(netns, lambda: socket.create_server(("0.0.0.0", port)))
        self._udp = inside(netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        inside(netns, lambda: self._udp.bind(("0.0.0.0", port)))
        for loop in (self._accept, self._datagrams):
            threading.Thread(target=loop, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection, peer), daemon=True).start()

    def _talk(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        with connection:
            connection.sendall(f"{self.name} {peer[0]}".encode())
            while data := connection.recv(100):
                connection.sendall(data)

    def _datagrams(self) -> None:
        while True:
            try:
                _, peer = self._udp.recvfrom(100)
            except OSError:
                return
            if peer is None:  # shut down
                return
            self._udp.sendto(self.name.encode(), peer)

    def close(self) -> None:
        for each in (self._tcp, self._udp):
            with suppress(OSError):  # an unconnected socket says so, and still wakes its thread
                each.shutdown(socket.SHUT_RDWR)
            each.close()
