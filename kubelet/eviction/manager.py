"""Node-pressure eviction: every 10 s the node's signals are read, and when a threshold is met, what nobody uses is
removed first and then pods go, one at a time, each awaited before the node is looked at again.

Source: pkg/kubelet/eviction/eviction_manager.go. The order is ranking.py's, the state pressure.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from api.meta import Obj
from client import log, metrics
from client.clock import Clock
from client.events import EventRecorder
from kubelet.configuration import Configuration
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import RuntimeFailure
from kubelet.eviction import local_storage
from kubelet.eviction.pressure import Observation, Observations, State, met, step
from kubelet.eviction.ranking import Use, explained, ranked
from kubelet.eviction.signals import Signals
from kubelet.eviction.thresholds import SIGNALS, Threshold
from kubelet.pods.critical import is_critical
from kubelet.pods.model import Ending, is_terminal
from kubelet.stats.stats import Stats

_log = log.get("eviction")
REASON = "Evicted"
_EVERY = 10.0
_GONE_SECONDS, _GONE_EVERY = 30.0, 1.0
_AT_ONCE = 1
"""Seconds of grace of a pod that has to go now."""


class Pods(Protocol):
    def all(self) -> list[Obj]: ...

    def end(self, uid: str, ending: Ending) -> bool: ...


class Evictions:
    def __init__(
        self,
        signals: Signals,
        image_root: Callable[[], Awaitable[Path]],
        stats: Stats,
        pods: Pods,
        observer: Observer,
        recorder: EventRecorder,
        node: Obj,
        configuration: Configuration,
        clock: Clock,
        *,
        reclaim: Sequence[Callable[[], Awaitable[object]]],
        changed: Callable[[], None],
    ) -> None:
        """`image_root` asks Docker where it keeps images; `reclaim` frees disk without touching a pod that runs;
        `changed` is called when `conditions` has changed."""
        self._signals, self._image_root = signals, image_root
        self._stats, self._pods, self._observer = stats, pods, observer
        self._recorder, self._node, self._configuration, self._clock = recorder, node, configuration, clock
        self._reclaim, self._changed = reclaim, changed
        self._thresholds = configuration.thresholds()
        self._state = State()
        self.conditions: frozenset[str] | None = None
        """Of the node: MemoryPressure, DiskPressure, PIDPressure. None before the first look."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            evicted: list[Obj] = []
            try:
                evicted = await self.synchronize()
            except (OSError, RuntimeFailure) as error:
                _log.warning("cannot look at the node's resources", why=str(error))
            if evicted:
                await self._until_gone(evicted)
            else:
                await self._clock.sleep(_EVERY)

    async def synchronize(self) -> list[Obj]:
        """One look and what follows from it: the pods that were evicted."""
        observations = await self._observe()
        now = self._clock.monotonic()
        transition = self._configuration.eviction_transition_seconds
        self._state, pressure = step(self._thresholds, observations, self._state, transition, now)
        if pressure.conditions != self.conditions:
            if pressure.conditions or self.conditions:
                _log.info("pressure", conditions=sorted(pressure.conditions))
            self.conditions = pressure.conditions
            self._changed()
        active = [pod for pod in self._pods.all() if not is_terminal(pod)]
        if self._configuration.local_storage_limits:
            over = await self._over_their_limits(active)
            if over:
                return over
        if not pressure.acting:
            return []
        return await self._relieve(pressure.acting, observations, active)

    async def _observe(self) -> Observations:
        if self._signals.images is None:
            root = await self._image_root()
            # Docker may live where we cannot look: then it is taken to share the kubelet's file system.
            self._signals.images = root if root.is_dir() else self._signals.root
        observations = await asyncio.to_thread(self._signals.observe)
        reserved = self._configuration.reserved_memory
        if reserved:
            used = sum(pod.memory for pod in (await self._stats.look()).pods.values())
            capacity = max(0, observations["memory.available"].capacity - reserved)
            observations["allocatableMemory.available"] = Observation(max(0, capacity - used), capacity)
        return observations

    async def _relieve(
        self, acting: Sequence[Threshold], observations: Observations, active: Sequence[Obj]
    ) -> list[Obj]:
        urgent = acting[0]
        resource = SIGNALS[urgent.signal].resource
        text = f"Attempting to reclaim {resource}"
        self._recorder.event(self._node, "Warning", "EvictionThresholdMet", text)
        if await self._reclaimed(urgent.signal):
            return []
        use = await self._use(urgent.signal, active)
        for pod in ranked(active, resource, use):
            uid = pod["metadata"]["uid"]
            message, annotations = explained(pod, resource, acting, observations, use.get(uid))
            condition = {
                "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message,
            }  # fmt: skip
            if self._evict(pod, message, self._grace(urgent, pod), urgent.signal, annotations, condition):
                return [pod]
        _log.warning("nothing can be evicted", resource=resource)
        return []

    def _grace(self, threshold: Threshold, pod: Obj) -> int:
        if threshold.hard:
            return _AT_ONCE
        own, most = pod["spec"].get("terminationGracePeriodSeconds"), self._configuration.eviction_most_grace
        return most if own is None else min(int(own), most)

    async def _reclaimed(self, signal: str) -> bool:
        """Removes what nobody uses from the disk that is full. True when that was enough."""
        if SIGNALS[signal].resource not in ("ephemeral-storage", "inodes"):
            return False
        if signal.startswith("nodefs.") and self._signals.image_filesystem:
            return False  # neither images nor containers lie there
        for free in self._reclaim:
            try:
                await free()
            except (RuntimeFailure, OSError) as error:  # on a full disk, OSError is what it says
                _log.warning("cannot reclaim", signal=signal, why=str(error))
        return not met(self._thresholds, await self._observe(), reclaimed=True)

    async def _use(self, signal: str, active: Sequence[Obj]) -> Mapping[str, Use]:
        """What pods use of the resource that is scarce, as far as it counts for this signal."""
        if SIGNALS[signal].resource in ("memory", "pids"):
            return {
                uid: Use(
                    {"memory": of.memory, "pids": of.pids},
                    {name: {"memory": reading.working_set} for name, (_, reading) in of.containers.items()},
                )
                for uid, of in (await self._stats.look()).pods.items()
            }
        # With a file system of their own, layers of containers lie on it, and logs and volumes do not.
        apart = self._signals.image_filesystem
        layers, rest = not apart or signal.startswith("imagefs."), not apart or signal.startswith("nodefs.")
        found = {}
        for uid, disk in (await self._stats.disk([pod["metadata"]["uid"] for pod in active])).items():
            parts = [
                *(disk.layers.values() if layers else ()),
                *((*disk.logs.values(), *disk.volumes.values(), disk.own_files) if rest else ()),
            ]
            total = {"ephemeral-storage": sum(p.bytes for p in parts), "inodes": sum(p.inodes for p in parts)}
            containers = {
                name: {"ephemeral-storage": disk.layers[name].bytes + disk.logs[name].bytes}
                for name in disk.layers.keys() & disk.logs.keys()
            }
            found[uid] = Use(total, containers)
        return found

    async def _over_their_limits(self, active: Sequence[Obj]) -> list[Obj]:
        """Evicts the pods that use more local storage than they may. None of them was short of anything, so none
        is a DisruptionTarget."""
        limited = {pod["metadata"]["uid"]: pod for pod in active if local_storage.is_limited(pod)}
        if not limited:
            return []
        shared, evicted = not self._signals.image_filesystem, []
        for uid, used in (await self._stats.disk(limited)).items():
            signal, message = local_storage.excess(limited[uid], used, layers_on_root=shared)
            if message and self._evict(limited[uid], message, _AT_ONCE, signal):
                evicted.append(limited[uid])
        return evicted

    def _evict(
        self, pod: Obj, message: str, grace: int, signal: str,
        annotations: Mapping[str, str] | None = None, condition: Obj | None = None,
    ) -> bool:  # fmt: skip
        if is_critical(pod):
            _log.warning("cannot evict a critical pod", pod=pod["metadata"]["name"])
            return False
        if not self._pods.end(pod["metadata"]["uid"], Ending(REASON, message, grace, condition)):
            return False
        self._recorder.event(pod, "Warning", REASON, message, annotations=annotations)
        metrics.count("kubelet_evictions", eviction_signal=signal)
        _log.info("evicted", pod=pod["metadata"]["name"], message=message)
        return True

    async def _until_gone(self, pods: Sequence[Obj]) -> None:
        """Until nothing of them runs, but not for ever: the next look then sees what it has brought."""
        deadline = self._clock.monotonic() + _GONE_SECONDS
        while self._clock.monotonic() < deadline:
            if not any(self._observer.of_pod(pod["metadata"]["uid"]).running() for pod in pods):
                return
            await self._clock.sleep(_GONE_EVERY)
        _log.warning("evicted pods still run", pods=[pod["metadata"]["name"] for pod in pods])
