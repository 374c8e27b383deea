"""What the node and its pods use. Read when somebody asks, at most as often as he wants it fresh; askers at the same
moment share one look. Nothing runs between.

    (await stats.look(10)).pods[uid].memory       working set of a pod, at most 10 s old
    (await stats.look(10)).node.working_set       of the node
    (await stats.disk([uid]))[uid]                bytes and inodes on disk, by container, log and volume
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from client import log
from client.clock import Clock
from kubelet.docker.observer import Observer
from kubelet.pods.model import Container, PodContainers
from kubelet.stats.cgroups import Groups, Hierarchy
from kubelet.stats.filesystems import filesystem
from kubelet.stats.model import DiskUsage, Look, PodUsage, Reading, total
from kubelet.stats.network import interfaces
from kubelet.volumes.threads import OWN
from kubelet.volumes.usage import Usage, usage

_log = log.get("stats")
Measured = TypeVar("Measured")
_WINDOW = 10.0
_PAIR_SECONDS = 60.0
"""Two looks further apart say nothing of the use of now."""
_BETWEEN = 1.0
_DISK_SECONDS = 10.0
_OWN_VOLUMES = ("empty-dir", "configmap", "secret", "downward-api", "projected")
_OWN_FILES = ("etc-hosts", "resolv.conf", "containers")
"""In a pod's directory: a pod could fill the node through any of them that is not counted (CVE-2020-8557; upstream's
kubelet still leaves termination messages out, https://github.com/kubernetes/kubernetes/issues/122224)."""
_DISK_SHARE = 20
"""Walking directories may take no more than one part in so many of a thread's time."""


class Stats:
    def __init__(
        self, observer: Observer, root: Path, clock: Clock, claimed: Callable[[str], Mapping[str, Path]]
    ) -> None:
        """`root` is the kubelet's directory: pods have theirs in root/pods/UID. `claimed` tells what is behind a pod's
        claims, by the volume's name."""
        self._observer, self._root, self._clock, self._claimed = observer, root, clock, claimed
        self._hierarchy = Hierarchy()
        self._groups: dict[str, Groups] = {}
        self._last: Look | None = None
        self._before: Look | None = None
        self._looking, self._walking = asyncio.Lock(), asyncio.Lock()
        self._disk: dict[str, tuple[float, DiskUsage]] = {}

    async def look(self, max_age: float = 0.0) -> Look:
        """All control groups, as they were at most `max_age` seconds ago."""
        asked = self._clock.monotonic()
        async with self._looking:
            if self._last is None or self._last.at < asked - max_age:
                pods = {uid: self._observer.of_pod(uid) for uid in self._observer.pods()}
                now, at = self._clock.now(), self._clock.monotonic()
                node, used = await asyncio.to_thread(self._read, pods)
                if self._last is not None and (self._before is None or self._last.at - self._before.at >= _WINDOW):
                    self._before = self._last
                self._last = Look(now, at, node, used, interfaces("self"))
            return self._last

    async def pair(self, max_age: float = 0.0) -> tuple[Look, Look]:
        """Two looks, the newer second: what was used between them, in some 10 s where that can be, is what is used
        now. Who asks for the first time in a while has to wait a second."""
        last = await self.look(max_age)
        if self._before is None or last.at - self._before.at > _PAIR_SECONDS:
            self._before = last
            await self._clock.sleep(_BETWEEN)
            last = await self.look()
        return self._before, last

    async def pods(self) -> Mapping[str, PodUsage]:
        return (await self.look(10.0)).pods

    async def node(self) -> Reading:
        return (await self.look(10.0)).node

    def _read(self, pods: Mapping[str, PodContainers]) -> tuple[Reading, dict[str, PodUsage]]:
        known: dict[str, Groups] = {}
        used: dict[str, PodUsage] = {}
        for uid, of_pod in pods.items():
            running = {}
            for container in of_pod.running():
                groups = self._groups.get(container.id) or self._hierarchy.of_process(container.pid, container.id)
                if groups is not None:
                    known[container.id] = groups
                    running[container.name] = (container, self._hierarchy.read(groups))
            sandbox = of_pod.live_sandbox
            if sandbox is not None or running:
                own = () if sandbox is None or sandbox.host_network else interfaces(sandbox.pid)
                used[uid] = PodUsage(sandbox, running, own)
        self._groups = known
        return self._hierarchy.node(), used

    async def disk(self, uids: Iterable[str]) -> dict[str, DiskUsage]:
        """Of those of these pods that are there. Not older than 10 s, unless measuring takes long: then it is not done
        often."""
        async with self._walking:
            found = {}
            for uid in uids:
                due, known = self._disk.get(uid, (0.0, None))
                began = self._clock.monotonic()
                if known is None or began >= due:
                    try:
                        known = await OWN.run(self._measure, uid, self._observer.of_pod(uid))
                    except FileNotFoundError:
                        continue  # the pod is being taken down
                    except OSError as error:
                        _log.warning("a pod's disk cannot be measured", uid=uid, why=str(error))
                        continue
                    now = self._clock.monotonic()
                    self._disk[uid] = (now + max(_DISK_SECONDS, _DISK_SHARE * (now - began)), known)
                found[uid] = known
            for uid in self._disk.keys() - set(self._observer.pods()):
                del self._disk[uid]
            return found

    def _measure(self, uid: str, pod: PodContainers) -> DiskUsage:
        newest = [attempts[0] for attempts in pod.containers.values()]
        directory = self._root / "pods" / uid
        device = directory.stat().st_dev
        volumes = {path.name: path for path in volume_directories(directory)}
        claimed = _each(filesystem, self._claimed(uid))
        own = _each(lambda path: filesystem(path) if path.stat().st_dev != device else None, volumes)
        return DiskUsage(
            _each(usage, {c.name: Path(layer) for c in newest if (layer := writable_layer(c))}),
            _each(_log_usage, {c.name: Path(c.log_path) for c in newest if c.log_path}),
            _each(usage, volumes) | {name: Usage(of.used, of.inodes_used) for name, of in claimed.items()},
            {name: of for name, of in own.items() if of is not None} | claimed,
            total([*_each(usage, {name: directory / name for name in _OWN_FILES}).values()]),
        )


def _each(measure: Callable[[Path], Measured], parts: Mapping[str, Path]) -> dict[str, Measured]:
    """What cannot be measured is left out; the rest of the pod, and of the node, is not."""
    found = {}
    for name, path in parts.items():
        try:
            found[name] = measure(path)
        except OSError as error:
            _log.warning("cannot be measured", path=str(path), why=str(error))
    return found


def volume_directories(pod: Path) -> list[Path]:
    """Those of its volumes that are its own, not storage mounted into it; each bears its volume's name."""
    return [path for plugin in _OWN_VOLUMES for path in (pod / "volumes" / f"kubernetes.io~{plugin}").glob("*")]


def _log_usage(newest: Path) -> Usage:
    """The log and those it was rotated to."""
    sizes = [path.stat().st_size for path in newest.parent.glob(f"{newest.name}*")] if newest.parent.is_dir() else []
    return Usage(sum(sizes), len(sizes))


def writable_layer(container: Container) -> str:
    """The directory that takes what the container writes into its root; "" where Docker's storage has none.

    Docker tells it for overlay2; for containerd's snapshots the root mount of a running container does.
    """
    if container.layer or not container.running:
        return container.layer
    try:
        lines = Path(f"/proc/{container.pid}/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        left, _, right = line.partition(" - ")
        if left.split()[4] == "/" and right.startswith("overlay "):
            options = dict(option.partition("=")[::2] for option in right.split()[-1].split(","))
            upper = options.get("upperdir", "")
            return upper if upper.startswith("/") else ""
    return ""
