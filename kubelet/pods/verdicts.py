"""The node's verdict on a pod, kept on disk from before its containers are killed until the pod is gone: a kubelet
that crashes in between must not let the pod end as if nothing had happened."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from client.files import write_atomically
from kubelet.pods.model import Ending

_FILE = "ending.json"


def keep(directory: Path, ending: Ending) -> None:
    """`directory` is the pod's."""
    write_atomically(directory / _FILE, json.dumps(asdict(ending)).encode())


def kept(directory: Path) -> Ending | None:
    try:
        return Ending(**json.loads((directory / _FILE).read_text()))
    except FileNotFoundError:
        return None
