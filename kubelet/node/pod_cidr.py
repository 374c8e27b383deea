"""The node's pod CIDR, kept on disk: after a restart static pods need no apiserver to have a network."""

from __future__ import annotations

import os
from pathlib import Path

_FILE = "pod-cidr"


def keep(root: Path, cidr: str) -> None:
    """Whole or not at all, and nothing when it is kept already. OSError."""
    if kept(root) == cidr:
        return
    draft = root / f"{_FILE}.new"
    with draft.open("w") as file:
        file.write(cidr)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(root / _FILE)


def kept(root: Path) -> str:
    """ "" when none is, or none that can be read."""
    try:
        return (root / _FILE).read_text(errors="replace")
    except OSError:
        return ""
