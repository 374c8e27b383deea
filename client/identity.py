"""Who this process is in an election, so written that another process on the same kernel can tell when it
died.

`<host>_<boot>-<pid namespace>-<pid>-<start>`: within the same boot and pid namespace, a pid that is gone or
has another start time belongs to a dead holder.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path


def _scope() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:12]
    return f"{boot}-{os.stat('/proc/self/ns/pid').st_ino}"


def _start(pid: int) -> str:
    """Clock ticks since boot at which the process started; "" when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]


def own() -> str:
    return f"{socket.gethostname()}_{_scope()}-{os.getpid()}-{_start(os.getpid())}"


def is_gone(identity: str) -> bool:
    """True only when the process that calls itself `identity` certainly does not run any more."""
    scope, _, rest = identity.rpartition("_")[2].rpartition("-")[0].rpartition("-")
    started = identity.rpartition("-")[2]
    return scope == _scope() and rest.isdigit() and _start(int(rest)) != started
