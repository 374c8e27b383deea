"""What was found in use, as plain values: one look at the node's control groups, and one at its disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from kubelet.pods.model import Container
from kubelet.stats.filesystems import Filesystem
from kubelet.volumes.usage import Usage

Pressure = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Resource (cpu, memory, io) → some or full → avg10, avg60, avg300 (percent) and total (µs): cgroup v2's PSI."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One control group at one moment. Times in nanoseconds, sizes in bytes, the rest counts."""

    cpu: int = 0
    user: int = 0
    system: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0
    memory: int = 0
    inactive_file: int = 0
    rss: int = 0
    cache: int = 0
    mapped: int = 0
    swap: int = 0
    faults: int = 0
    major_faults: int = 0
    limit: int = 0
    """0: none."""
    swap_limit: int = 0
    """Of swap alone; 0: none, or no swap."""
    peak: int = 0
    oom_kills: int = 0
    pids: int = 0
    pressure: Pressure = field(default_factory=dict)

    @property
    def working_set(self) -> int:
        """What cannot be given back by dropping clean pages that nobody uses."""
        return max(0, self.memory - self.inactive_file)

    @classmethod
    def total(cls, readings: Iterable[Reading]) -> Reading:
        """Of several groups together; limits and pressure do not add up and are left out."""
        every = list(readings)
        summed = [f.name for f in fields(cls) if f.name not in ("limit", "swap_limit", "pressure")]
        return cls(**{name: sum(getattr(r, name) for r in every) for name in summed})


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


@dataclass(frozen=True, slots=True)
class PodUsage:
    """A running pod: its running containers by name, and its network interfaces (none of the node's)."""

    sandbox: Container | None
    containers: Mapping[str, tuple[Container, Reading]]
    interfaces: tuple[Interface, ...] = ()

    @property
    def any_container(self) -> Container:
        """One that says whose all of them are."""
        return self.sandbox or next(container for container, _ in self.containers.values())

    @property
    def total(self) -> Reading:
        return Reading.total(reading for _, reading in self.containers.values())

    @property
    def memory(self) -> int:
        """Working set, as eviction ranks by."""
        return sum(reading.working_set for _, reading in self.containers.values())

    @property
    def pids(self) -> int:
        return sum(reading.pids for _, reading in self.containers.values())


@dataclass(frozen=True, slots=True)
class Look:
    """All control groups at one moment."""

    time: datetime
    at: float
    """The same moment on the monotonic clock."""
    node: Reading
    pods: Mapping[str, PodUsage]
    interfaces: tuple[Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What one pod has in files of its own, by part."""

    layers: Mapping[str, Usage]
    """By container: what it wrote into its own root."""
    logs: Mapping[str, Usage]
    volumes: Mapping[str, Usage]
    """By name of the volume: those that lie in the pod's directory, and claims of the node's disks."""
    filesystems: Mapping[str, Filesystem] = field(default_factory=dict)
    """Of volumes that have one of their own: those in memory, and claims."""
    own_files: Usage = field(default_factory=Usage)
    """What containers are given to write besides: hosts, the resolver's configuration, termination messages."""

    @property
    def ephemeral(self) -> Usage:
        """What counts as ephemeral storage: all of it but volumes in memory and claims."""
        volumes = [used for name, used in self.volumes.items() if name not in self.filesystems]
        return total([*self.layers.values(), *self.logs.values(), *volumes, self.own_files])


def total(every: Sequence[Usage]) -> Usage:
    return Usage(sum(used.bytes for used in every), sum(used.inodes for used in every))
