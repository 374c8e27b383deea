"""Empty iptables tables. Looking at a table makes one, in the nf_tables flavour, and `iptables-save` shows it from
then on. So `up` notes which there were, and `reset` takes away those that came since and hold nothing."""

from __future__ import annotations

import subprocess

from deploy import changes, host
from deploy.layout import Layout

_KEY = "iptables tables"


def note(layout: Layout) -> None:
    if _KEY not in changes.recorded(layout):
        changes.record(layout, _KEY, " ".join(sorted(parse(_save()))))


def remove_new(layout: Layout) -> list[str]:
    """Returns what was removed."""
    before = changes.recorded(layout).get(_KEY)
    nft = host.find_tool("nft")
    if before is None or nft is None:
        return []
    new = [name for name, empty in parse(_save()).items() if empty and name not in before.split()]
    for name in new:
        subprocess.run([nft, "delete", "table", "ip", name], capture_output=True, check=False)
    return [f"iptables table {name}, empty" for name in new]


def parse(saved: str) -> dict[str, bool]:
    """The tables in the output of iptables-save, and whether each is as if nobody had ever touched it."""
    tables: dict[str, bool] = {}
    name = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            name = line[1:]
            tables[name] = True
        elif line.startswith("-A") or (line.startswith(":") and " ACCEPT " not in line):
            tables[name] = False
    return tables


def _save() -> str:
    program = host.find_tool("iptables-save")
    if program is None:
        return ""
    return subprocess.run([program], capture_output=True, text=True, check=False).stdout
