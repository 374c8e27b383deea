"""The node's pod CIDR, kept on disk: after a restart static pods need no apiserver to have a network."""

from __future__ import annotations

from pathlib import Path

from client.files import write_if_changed

_FILE = "pod-cidr"


def keep(root: Path, cidr: str) -> None:
    """Nothing is written when it is kept already. OSError."""
    write_if_changed(root / _FILE, cidr.encode())


def kept(root: Path) -> str:
    """ "" when none is, or none that can be read."""
    try:
        return (root / _FILE).read_text(errors="replace")
    except OSError:
        return ""
