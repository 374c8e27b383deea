"""The machine as /proc, /sys and /etc tell it. Blocking, but quick; what cannot be read is empty."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kubelet.stats.cgroups import meminfo
from kubelet.stats.filesystems import filesystem

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_HUGE_PAGES = Path("/sys/kernel/mm/hugepages")


@dataclass(frozen=True, slots=True)
class Machine:
    """One look at the machine. Sizes in bytes."""

    cpus: int
    memory: int
    swap: int
    huge_pages: Mapping[int, int]
    """Bytes set aside, by size of the page."""
    disk: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str


def machine(root: Path) -> Machine:
    """`root` is the kubelet's directory. OSError when that is gone."""
    found = memory()
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=found.get("MemTotal", 0),
        swap=found.get("SwapTotal", 0),
        huge_pages=_huge_pages(),
        disk=filesystem(root).capacity,
        machine_id=_line("/etc/machine-id"),
        system_uuid=_line("/sys/class/dmi/id/product_uuid") or _line("/etc/machine-id"),
        boot_id=_line("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    return meminfo(_line("/proc/meminfo"))


def processes() -> tuple[int, int]:
    """How many processes and threads there are, and how many there can be."""
    limits = [int(_line(f"/proc/sys/kernel/{name}") or 32768) for name in ("pid_max", "threads-max")]
    words = _line("/proc/loadavg").split()
    return int(words[3].partition("/")[2]) if len(words) > 3 else 0, min(limits)


def _huge_pages() -> dict[int, int]:
    found = {}
    for directory in _HUGE_PAGES.glob("hugepages-*kB"):
        size = int(directory.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        found[size] = size * int(_line(str(directory / "nr_hugepages")) or 0)
    return found


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _os_image() -> str:
    for line in _line("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"
