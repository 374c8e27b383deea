"""What `up` altered on the machine outside the data directory, written down before it is done, for `reset`.

Kept in <data-dir>/changes.json. Keys: `sysctl NAME` (value before), `link` (a link we made), `docker` (how we started
the Engine: "own" or "systemd"), `kubeconfig` (path of the file that got our context), `made PATH` (a file or
directory that was not there).
"""

from __future__ import annotations

import json
from pathlib import Path

from client.files import write_atomically
from deploy.layout import Layout


def recorded(layout: Layout) -> dict[str, str]:
    try:
        document: dict[str, str] = json.loads(layout.changes_file.read_text())
    except FileNotFoundError:
        return {}
    return document


def record(layout: Layout, key: str, value: str) -> None:
    """The first record of a key stands: it tells how things were before us."""
    document = recorded(layout)
    if key not in document:
        _write(layout, {**document, key: value})


def forget(layout: Layout, key: str) -> None:
    document = recorded(layout)
    if document.pop(key, None) is not None:
        _write(layout, document)


def set_sysctl(layout: Layout, name: str, value: str) -> None:
    path = Path("/proc/sys") / name.replace(".", "/")
    before = path.read_text().strip()
    if before != value:
        record(layout, f"sysctl {name}", before)
        path.write_text(f"{value}\n")


def restore_sysctls(layout: Layout) -> list[str]:
    """Puts every sysctl back, unless somebody changed it after us. Returns what was done."""
    done = []
    for key, before in recorded(layout).items():
        kind, _, name = key.partition(" ")
        if kind == "sysctl":
            (Path("/proc/sys") / name.replace(".", "/")).write_text(f"{before}\n")
            done.append(f"sysctl {name} = {before} again")
    return done


def _write(layout: Layout, document: dict[str, str]) -> None:
    write_atomically(layout.changes_file, (json.dumps(document, indent=2) + "\n").encode(), 0o600)
