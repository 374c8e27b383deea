"""The node's verdict on a pod, kept on disk from before its containers are killed until the pod is gone: a kubelet
that crashes in between must not let the pod end as if nothing had happened."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from kubelet.pods.model import Ending

_FILE = "ending.json"


def keep(directory: Path, ending: Ending) -> None:
    """Whole or not at all. `directory` is the pod's."""
    directory.mkdir(parents=True, exist_ok=True)
    draft = directory / f"{_FILE}.new"
    with draft.open("w") as file:
        json.dump(asdict(ending), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(directory / _FILE)


def kept(directory: Path) -> Ending | None:
    try:
        return Ending(**json.loads((directory / _FILE).read_text()))
    except FileNotFoundError:
        return None
