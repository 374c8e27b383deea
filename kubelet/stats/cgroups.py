"""Control groups, version 1 and 2: where a process's are, and what they say. Only small files are read.

A group that ends while it is read gives zeros for what could not be read any more. The node's own figures are those
of the root group; version 2 has no memory there, so /proc/meminfo answers, as in cAdvisor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kubelet.stats.model import Reading

_TICK = 10**7
"""Nanoseconds in a tick of cpuacct.stat: USER_HZ is 100 on every Linux."""
_UNLIMITED = 1 << 60
_Source = tuple[str, str, int]
"""File, its key ("" when the file is one number), factor."""

_V1: Mapping[str, tuple[str, _Source]] = {
    "cpu": ("cpuacct", ("cpuacct.usage", "", 1)),
    "user": ("cpuacct", ("cpuacct.stat", "user", _TICK)),
    "system": ("cpuacct", ("cpuacct.stat", "system", _TICK)),
    "periods": ("cpu", ("cpu.stat", "nr_periods", 1)),
    "throttled_periods": ("cpu", ("cpu.stat", "nr_throttled", 1)),
    "throttled": ("cpu", ("cpu.stat", "throttled_time", 1)),
    "memory": ("memory", ("memory.usage_in_bytes", "", 1)),
    "inactive_file": ("memory", ("memory.stat", "total_inactive_file", 1)),
    "rss": ("memory", ("memory.stat", "total_rss", 1)),
    "cache": ("memory", ("memory.stat", "total_cache", 1)),
    "mapped": ("memory", ("memory.stat", "total_mapped_file", 1)),
    "swap": ("memory", ("memory.stat", "total_swap", 1)),
    "faults": ("memory", ("memory.stat", "total_pgfault", 1)),
    "major_faults": ("memory", ("memory.stat", "total_pgmajfault", 1)),
    "limit": ("memory", ("memory.limit_in_bytes", "", 1)),
    "peak": ("memory", ("memory.max_usage_in_bytes", "", 1)),
    "oom_kills": ("memory", ("memory.oom_control", "oom_kill", 1)),
    "pids": ("pids", ("pids.current", "", 1)),
}
_V2: Mapping[str, _Source] = {
    "cpu": ("cpu.stat", "usage_usec", 1000),
    "user": ("cpu.stat", "user_usec", 1000),
    "system": ("cpu.stat", "system_usec", 1000),
    "periods": ("cpu.stat", "nr_periods", 1),
    "throttled_periods": ("cpu.stat", "nr_throttled", 1),
    "throttled": ("cpu.stat", "throttled_usec", 1000),
    "memory": ("memory.current", "", 1),
    "inactive_file": ("memory.stat", "inactive_file", 1),
    "rss": ("memory.stat", "anon", 1),
    "cache": ("memory.stat", "file", 1),
    "mapped": ("memory.stat", "file_mapped", 1),
    "swap": ("memory.swap.current", "", 1),
    "faults": ("memory.stat", "pgfault", 1),
    "major_faults": ("memory.stat", "pgmajfault", 1),
    "limit": ("memory.max", "", 1),
    "swap_limit": ("memory.swap.max", "", 1),
    "peak": ("memory.peak", "", 1),
    "oom_kills": ("memory.events", "oom_kill", 1),
    "pids": ("pids.current", "", 1),
}
_PRESSURE = ("cpu", "memory", "io")

Groups = Mapping[str, Path]
"""Directory by controller; version 2 has one, under ""."""


class Hierarchy:
    """The control groups of this machine. `root` is where they are mounted."""

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> None:
        self._root, self._proc = root, proc
        self.unified = (root / "cgroup.controllers").exists()
        controllers = {controller for controller, _ in _V1.values()}
        self.top: Groups = {"": root} if self.unified else {c: root / c for c in controllers}

    def of_process(self, pid: int, must_name: str) -> Groups | None:
        """Its groups; None when it is gone, or another has its number now: its groups do not bear that name."""
        found: dict[str, Path] = {}
        for line in _text(self._proc / str(pid) / "cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if must_name not in path:
                continue
            for controller in controllers.split(","):
                if controller in self.top:
                    found[controller] = self.top[controller] / path.lstrip("/")
        return found or None

    def read(self, groups: Groups) -> Reading:
        files: dict[tuple[str, str], Mapping[str, int]] = {}

        def look(controller: str, source: _Source) -> int:
            file, key, factor = source
            at = (controller, file)
            if at not in files:
                files[at] = _numbers(_text(groups[controller] / file)) if controller in groups else {}
            return files[at].get(key, 0) * factor

        if self.unified:
            values = {name: look("", source) for name, source in _V2.items()}
        else:
            values = {name: look(controller, source) for name, (controller, source) in _V1.items()}
        for name in ("limit", "swap_limit"):
            if values.get(name, 0) >= _UNLIMITED:
                values[name] = 0
        return Reading(**values, pressure=self._pressure(groups))

    def _pressure(self, groups: Groups) -> dict[str, dict[str, dict[str, float]]]:
        if not self.unified:
            return {}
        found = {resource: parse_pressure(_text(groups[""] / f"{resource}.pressure")) for resource in _PRESSURE}
        return {resource: levels for resource, levels in found.items() if levels}

    def node(self) -> Reading:
        read = self.read(self.top)
        if read.memory:
            return read
        # The root group of version 2 has no memory.current (libcontainer, cgroups/fs2/memory.go).
        info = meminfo(_text(self._proc / "meminfo"))
        values = {name: getattr(read, name) for name in Reading.__slots__}
        values["memory"] = info.get("MemTotal", 0) - info.get("MemFree", 0)
        values["swap"] = info.get("SwapTotal", 0) - info.get("SwapFree", 0)
        return Reading(**values)


def _text(path: Path) -> str:
    """ "" when it is not there, or no longer."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _numbers(text: str) -> dict[str, int]:
    """`key number` lines; a lone number has the key "". "max" is no number: there is no limit."""
    found = {}
    for line in text.splitlines():
        key, _, value = line.rpartition(" ")
        if value.isdigit():
            found[key] = int(value)
    return found


def parse_pressure(text: str) -> dict[str, dict[str, float]]:
    """Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`."""
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        level, *pairs = line.split()
        found[level] = {key: float(value) for key, _, value in (pair.partition("=") for pair in pairs)}
    return found


def meminfo(text: str) -> dict[str, int]:
    """Bytes by name."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if rest.strip()}
