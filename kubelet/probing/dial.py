"""How upstream writes addresses, and that a connection could not be made (the words of Go's package net)."""

from __future__ import annotations

import os
import socket


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def failure(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    return f"dial tcp {authority(host, port)}: connect: {errno(error)}"


def timeout(host: str, port: int) -> str:
    return f"dial tcp {authority(host, port)}: i/o timeout"


def errno(error: OSError) -> str:
    """What the system calls it; asyncio says something else."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
