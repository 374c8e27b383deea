"""Kernel settings of the node's network namespace that the rules depend on, and the way back.

The value that was found is written to a state file before the first change, so `restore` (at `--cleanup`)
puts back exactly what was changed and nothing else.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

_ROOT = Path("/proc/sys")
FORWARD = "net/ipv4/ip_forward"
BRIDGE = "net/bridge/bridge-nf-call-iptables"
LOOPBACK = "net/ipv4/conf/all/route_localnet"
FILTER = "net/ipv4/conf/all/rp_filter"


class SysctlError(Exception):
    """A setting the node's network cannot do without is not to be had."""


def needed(read: dict[str, str]) -> dict[str, str]:
    """Pure: what must change, given the present values.

    Loose reverse path filtering instead of strict: an answer may come back by another link than the one its
    request left by. Off stays off.
    """
    wanted = {FORWARD: "1", BRIDGE: "1", LOOPBACK: "1", FILTER: "2" if read.get(FILTER) == "1" else ""}
    return {key: value for key, value in wanted.items() if value and read.get(key) != value}


def apply(state: Path) -> None:
    """Set what is needed; SysctlError names what cannot be set."""
    if not (_ROOT / BRIDGE).exists():
        # Pods on one bridge reach each other through Services only when bridged frames pass iptables.
        subprocess.run(["modprobe", "br_netfilter"], capture_output=True, check=False)
        if not (_ROOT / BRIDGE).exists():
            raise SysctlError("the kernel module br_netfilter is missing: install and load it")
    present = {key: (_ROOT / key).read_text().strip() for key in (FORWARD, BRIDGE, LOOPBACK, FILTER)}
    changes = needed(present)
    if not changes:
        return
    before = _load(state)
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({**{key: present[key] for key in changes}, **before}) + "\n")
    for key, value in changes.items():
        _write(key, value)


def restore(state: Path) -> None:
    for key, value in _load(state).items():
        _write(key, value)
    state.unlink(missing_ok=True)


def _load(state: Path) -> dict[str, str]:
    before: dict[str, str] = json.loads(state.read_text()) if state.exists() else {}
    return before


def _write(key: str, value: str) -> None:
    try:
        (_ROOT / key).write_text(value + "\n")
    except OSError as error:
        raise SysctlError(f"cannot set {key.replace('/', '.')} to {value}: {error.strerror}") from error
