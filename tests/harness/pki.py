"""The certificates of a test cluster: those of the product, plus any further identity a test wants to be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from deploy import pki
from deploy.certificates import Pair, Request, issue


class Pki:
    """Files are named as deploy/pki.py says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        names = pki.apiserver_names(["127.0.0.1"], "10.96.0.0/16", "cluster.local")
        pki.ensure(directory, [], names, datetime.now(UTC))

    def file(self, name: str) -> str:
        path = self.directory / name
        assert path.exists(), f"no such certificate file: {path}"
        return str(path)

    def pair(self, name: str) -> Pair:
        pair = pki.read_pair(self.directory / name)
        assert pair is not None, f"no such pair: {name}"
        return pair

    def client(self, user: str, group: str = "") -> Pair:
        """A client certificate under any name (CN) and group (O)."""
        return issue(self.pair("ca"), Request(user, group, client=True), datetime.now(UTC))
