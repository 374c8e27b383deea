"""What a machine looks like from outside, to compare before and after: `reset` must leave it as it was."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def _lines(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return sorted(line.rstrip() for line in done.stdout.splitlines())


def _rules() -> list[str]:
    """iptables-save without counters and dates."""
    lines = [line for line in _lines("iptables-save") if not line.startswith("#")]
    return [re.sub(r"\[\d+:\d+\]", "", line) for line in lines]


def snapshot(socket: str = "unix:///var/run/docker.sock") -> dict[str, list[str]]:
    docker = ("docker", "-H", socket)
    sysctls = ("net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.all.route_localnet")
    return {
        "containers": _lines(*docker, "ps", "-aq"),
        "docker networks": _lines(*docker, "network", "ls", "-q"),
        "volumes": _lines(*docker, "volume", "ls", "-q"),
        "rules": _rules(),
        "links": [re.sub(r"^\d+: ", "", line).split(":")[0] for line in _lines("ip", "-o", "link")],
        # The kernel gives a link its link-local addresses a second or two after it is up.
        "routes": [line for line in _lines("ip", "route", "show", "table", "all") if "fe80:" not in line],
        "namespaces": _lines("ip", "netns", "list"),
        "mounts": [line.split()[1] for line in _lines("cat", "/proc/mounts")],
        "sysctls": [f"{name}={Path('/proc/sys', *name.split('.')).read_text().strip()}" for name in sysctls],
        "files": [str(p) for root in ("/etc", "/run", "/var/lib") for p in sorted(Path(root).iterdir())],
        "home": [str(p) for p in sorted(Path.home().iterdir())],
    }


def difference(before: dict[str, list[str]], after: dict[str, list[str]]) -> dict[str, dict[str, list[str]]]:
    """What came and what went, by aspect; empty when all is as it was."""
    found = {}
    for aspect, was in before.items():
        now = after[aspect]
        came = [line for line in now if line not in was]
        went = [line for line in was if line not in now]
        if came or went:
            found[aspect] = {"came": came, "went": went}
    return found
