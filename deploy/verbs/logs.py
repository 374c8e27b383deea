"""`sampan logs COMPONENT`: what a daemon wrote, from its file or the journal."""

from __future__ import annotations

import os

from deploy import cluster, host, supervision
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.systemd import unit_name


def logs(layout: Layout, name: str, *, follow: bool, lines: int) -> None:
    """Becomes tail or journalctl: signals and a closed pipe then end it as anyone expects."""
    host.require_root("logs")
    cluster.require(layout)
    names = {row["name"] for row in supervision.rows_on_disk(layout)}
    if not host.has_systemd():
        names.add("supervisor")
    if name not in names:
        raise Failure(f"there is no component {name!r}", f"choose from {', '.join(sorted(names))}")
    if host.has_systemd():
        argv = ["journalctl", "--output=cat", "--no-pager", f"--lines={lines}", "--unit", unit_name(name)]
        argv += ["--follow"] if follow else []
    else:
        file = layout.run / "supervisor.log" if name == "supervisor" else layout.logs / f"{name}.log"
        if not file.exists():
            raise Failure(f"{name} has not written anything", "start it: sampan up")
        argv = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(file)]
    os.execvp(argv[0], argv)
