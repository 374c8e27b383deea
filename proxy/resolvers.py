"""The node's upstream name servers, from its resolv.conf, read again when the file changes."""

from __future__ import annotations

from pathlib import Path


class Resolvers:
    def __init__(self, path: Path, own_address: str) -> None:
        self._path = path
        self._own = own_address
        self._stamp = 0
        self._servers: list[str] = []

    def __call__(self) -> list[str]:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._servers = parse(self._path.read_text(errors="replace"), self._own)
                self._stamp = stamp
        except FileNotFoundError:
            self._servers, self._stamp = [], 0
        return self._servers


def parse(resolv_conf: str, own_address: str) -> list[str]:
    """Pure: the name servers, without ourselves (a loop) and without duplicates."""
    lines = [line.split() for line in resolv_conf.splitlines()]
    servers = [words[1] for words in lines if words[:1] == ["nameserver"] and len(words) > 1]
    return [server for server in dict.fromkeys(servers) if server != own_address]
