"""`sampan logs COMPONENT`: what a daemon wrote, from its file or the journal; `audit` is the apiserver's audit log."""

from __future__ import annotations

import os

from deploy import cluster, host, supervision
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.systemd import unit_name

_AUDIT = "audit"


def logs(layout: Layout, name: str, *, follow: bool, lines: int) -> None:
    """Becomes tail or journalctl: signals and a closed pipe then end it as anyone expects."""
    host.require_root("logs")
    cluster.require(layout)
    names = {_AUDIT, *(row["name"] for row in supervision.rows_on_disk(layout))}
    if not host.has_systemd():
        names.add("supervisor")
    if name not in names:
        raise Failure(f"there is no component {name!r}", f"choose from {', '.join(sorted(names))}")
    if host.has_systemd() and name != _AUDIT:
        argv = ["journalctl", "--output=cat", "--no-pager", f"--lines={lines}", "--unit", unit_name(name)]
        argv += ["--follow"] if follow else []
    else:
        file = layout.run / "supervisor.log" if name == "supervisor" else layout.logs / f"{name}.log"
        if not file.exists():
            raise Failure(f"{name} has not written anything", "start it: sampan up")
        argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(file)]
    os.execvp(argv[0], argv)
