"""What went over the interfaces of a network namespace: /proc/PID/net/dev."""

from __future__ import annotations

from pathlib import Path

from kubelet.stats.model import Interface

_CABLES = ("lo", "veth", "docker", "spn")
"""Loopback, and the node's ends of cables whose other end is in a pod, which counts for itself (cAdvisor's
ignoredDevicePrefixes, and ours)."""


def interfaces(pid: int | str) -> tuple[Interface, ...]:
    """Those of the namespace that the process lives in; none when it is gone."""
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
        if not name.strip().startswith(_CABLES):
            found.append(Interface(name.strip(), *n[0:4], *n[8:12]))
    return tuple(found)
