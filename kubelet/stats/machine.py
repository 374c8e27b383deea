"""What the machine says of itself beside its control groups: for a summary, read when one is asked for."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from kubelet.stats.cgroups import meminfo
from kubelet.stats.filesystems import filesystem
from kubelet.stats.model import Reading
from kubelet.stats.summary import Surroundings

_TICKS = os.sysconf("SC_CLK_TCK")


def surroundings(
    node_name: str, root: Path, images: Path, images_used: int, claims: Mapping[str, Mapping[str, str]]
) -> Surroundings:
    """`root` and `images` are the kubelet's and Docker's directories. OSError. Blocking: call it in a thread."""
    booted = boot_time(Path("/proc/stat").read_text())
    statistics = Path("/proc/self/stat").read_text().rpartition(")")[2].split()  # from the third field on
    return Surroundings(
        node_name,
        booted,
        len(os.sched_getaffinity(0)),
        meminfo(Path("/proc/meminfo").read_text()).get("MemTotal", 0),
        filesystem(root),
        filesystem(images),
        images_used,
        int(Path("/proc/sys/kernel/pid_max").read_text()),
        int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2]),
        _own(),
        datetime.fromtimestamp(booted.timestamp() + int(statistics[19]) / _TICKS, UTC),
        claims,
    )


def boot_time(text: str) -> datetime:
    """Of /proc/stat."""
    seconds = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("btime "))
    return datetime.fromtimestamp(seconds, UTC)


def _own() -> Reading:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, resident, shared = Path("/proc/self/statm").read_text().split()[:3]
    page = resource.getpagesize()
    return Reading(
        cpu=time.process_time_ns(),
        memory=int(resident) * page,
        rss=(int(resident) - int(shared)) * page,
        faults=used.ru_minflt,
        major_faults=used.ru_majflt,
    )
