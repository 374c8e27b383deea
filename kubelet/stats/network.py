"""What went over the interfaces of a network namespace: /proc/PID/net/dev."""

from __future__ import annotations

from pathlib import Path

from kubelet.stats.model import Interface


def interfaces(pid: int | str) -> tuple[Interface, ...]:
    """Those of the namespace that the process lives in, without loopback; none when it is gone."""
    try:
        return parse(Path(f"/proc/{pid}/net/dev").read_text())
    except OSError:
        return ()


def parse(text: str) -> tuple[Interface, ...]:
    """Two lines of headings, then a line each: name, 8 figures of what came, 8 of what went."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        n = [int(word) for word in rest.split()]
        if name.strip() != "lo":
            found.append(Interface(name.strip(), *n[0:4], *n[8:12]))
    return tuple(found)
