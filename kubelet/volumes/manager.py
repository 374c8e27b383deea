"""A pod's volumes on the node: set up before its sandbox, refreshed while it runs, gone after it.

Directories are upstream's: <root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>. Every step may be run again; what
a step needs to know about an earlier one it finds on the disk. A kind is an entry of the tables below and, mostly, a
file beside this one.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from api.errors import ApiError
from api.meta import Obj
from client import log
from client.clock import Clock
from kubelet.docker.config.parts import Mount
from kubelet.pods import pod_cgroup
from kubelet.pods.lookup import Lookup
from kubelet.volumes import (
    atomic,
    claims,
    config_map,
    container_mounts,
    downward_api,
    empty_dir,
    host_path,
    mounts,
    network_fs,
    ownership,
    projected,
    secret,
)
from kubelet.volumes.base import Context, Objects, Payload, VolumeError
from kubelet.volumes.claims import Source, Unprocessed
from kubelet.volumes.images import Export, ImageVolumes

_log = log.get("volumes")
_DEFAULT_MODE = 0o644
_TIMEOUT = 123.0
"""Seconds after which a pod that waits for volumes is told of all that it lacks (podAttachAndMountTimeout)."""
FILES: dict[str, Callable[[Context, Mapping[str, Any], int], Awaitable[Payload]]] = {
    "configMap": config_map.payload,
    "secret": secret.payload,
    "downwardAPI": downward_api.payload,
    "projected": projected.payload,
}
_IN_MEMORY = ("secret", "projected", "downwardAPI")
_DIRECTORY = {
    "configMap": "configmap", "secret": "secret", "downwardAPI": "downward-api", "projected": "projected",
    "emptyDir": "empty-dir", "nfs": "nfs",
}  # fmt: skip
_ON_THE_MACHINE = ("hostPath", "local")
SayFailed = Callable[[str], None]
"""Hears the message of a FailedMount event."""


class Volumes:
    def __init__(self, root: Path, lookup: Lookup, clock: Clock, export: Export) -> None:
        self._root, self._lookup, self._clock = root, lookup, clock
        self._images = ImageVolumes(root, export)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sources: dict[tuple[str, str], Source] = {}
        """What claims were found to be, by uid of the pod and name of its volume."""
        self._waiting_since: dict[str, float] = {}
        self.host_ip = ""
        self.node_allocatable: Mapping[str, str] = {}

    def pod_directory(self, uid: str) -> Path:
        return self._root / "pods" / uid

    def known_pods(self) -> list[str]:
        """Pods that have a directory on this node."""
        directory = self._root / "pods"
        return [entry.name for entry in directory.iterdir()] if directory.is_dir() else []

    # Setting up.

    async def set_up(self, pod: Obj, say: SayFailed) -> None:
        """All volumes that containers use. VolumeError when one cannot be had: it is to be tried again, which may
        find that some are there already."""
        uid = pod["metadata"]["uid"]
        wanted = set().union(*claims.used(pod))
        missing: list[str] = []
        unprocessed: dict[str, str] = {}
        async with self._locks[uid]:
            self.pod_directory(uid).mkdir(0o750, parents=True, exist_ok=True)
            for volume in pod["spec"].get("volumes") or []:
                if volume["name"] not in wanted:
                    continue
                try:
                    source = await self._source(pod, volume)
                except Unprocessed as error:
                    unprocessed[volume["name"]] = str(error)
                    continue
                try:
                    await self._set_up(pod, source, self._lookup)
                except (VolumeError, ApiError, OSError, ValueError) as error:
                    say(_told(source, error))
                    if source.kind not in FILES or not atomic.is_there(self._path(uid, source)):
                        missing.append(volume["name"])
        self._tell_what_is_missing(uid, missing, unprocessed, say)

    def _tell_what_is_missing(
        self, uid: str, missing: list[str], unprocessed: Mapping[str, str], say: SayFailed
    ) -> None:
        """A claim without a volume is told of at once, the rest after a while: they have told of themselves."""
        if not missing and not unprocessed:
            self._waiting_since.pop(uid, None)
            return
        now = self._clock.monotonic()
        late = now - self._waiting_since.setdefault(uid, now) >= _TIMEOUT
        why = "; ".join(unprocessed.values()) or "context deadline exceeded"
        text = (
            f"Unable to attach or mount volumes: unmounted volumes=[{' '.join(sorted([*missing, *unprocessed]))}], "
            f"unattached volumes=[], failed to process volumes=[{' '.join(sorted(unprocessed))}]: {why}"
        )
        if unprocessed or late:
            self._waiting_since[uid] = now
            say(text)
        raise VolumeError(text, soon=bool(unprocessed))

    async def _source(self, pod: Obj, volume: Mapping[str, Any]) -> Source:
        if not claims.claim_name(pod, volume):
            return claims.own(volume)
        key = (pod["metadata"]["uid"], volume["name"])
        if key not in self._sources:
            self._sources[key] = await claims.resolve(pod, volume, self._lookup)
        return self._sources[key]

    async def _set_up(self, pod: Obj, source: Source, objects: Objects) -> None:
        if source.kind in FILES:
            await self._write_files(pod, source, objects)
            return
        directory, group = self._path(pod["metadata"]["uid"], source), _fs_group(pod)
        match source.kind:
            case "hostPath":
                await asyncio.to_thread(host_path.set_up, source.spec)
            case "local":
                if not await asyncio.to_thread(directory.exists):
                    raise VolumeError(f'path "{directory}" does not exist')
                if group is not None and not source.read_only and not source.block:
                    policy = (pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
                    mismatch = policy == "OnRootMismatch"
                    await asyncio.to_thread(ownership.give, directory, group, only_on_mismatch=mismatch)
            case "emptyDir":
                size = empty_dir.memory_size(source.spec, pod, self.node_allocatable)
                marker = self.pod_directory(pod["metadata"]["uid"]) / "plugins/kubernetes.io~empty-dir"
                ready = marker / source.name / "ready"
                await asyncio.to_thread(empty_dir.set_up, source.spec, directory, ready, size, group)
            case "nfs":
                await network_fs.set_up(source.spec, directory, source.options, source.read_only)
            case "image":
                pass  # containers that mount it ask for it
            case _:
                raise VolumeError(f"volumes of kind {source.kind} are not supported on this node")

    async def _write_files(self, pod: Obj, source: Source, objects: Objects) -> None:
        mode = source.spec.get("defaultMode")
        context = Context(pod, objects, self.host_ip, self.node_allocatable)
        payload = await FILES[source.kind](context, source.spec, _DEFAULT_MODE if mode is None else int(mode))
        directory, in_memory = self._path(pod["metadata"]["uid"], source), source.kind in _IN_MEMORY

        def write() -> None:
            directory.mkdir(parents=True, exist_ok=True)
            if in_memory:
                mounts.mount_tmpfs(directory)
            atomic.write(directory, payload, _fs_group(pod))

        await asyncio.to_thread(write)

    def _path(self, uid: str, source: Source) -> Path:
        """Where the volume's files are."""
        if source.kind in _ON_THE_MACHINE:
            return Path(source.spec["path"])
        plugin = _DIRECTORY.get(source.kind, source.kind)
        return self.pod_directory(uid) / "volumes" / f"kubernetes.io~{plugin}" / source.name

    def claimed(self, uid: str) -> dict[str, Path]:
        """Directories of the node's disks that are behind the pod's claims, by the volume's name."""
        found = {name: source for (of, name), source in self._sources.items() if of == uid}
        return {name: Path(source.spec["path"]) for name, source in found.items() if source.kind == "local"}

    # While it runs.

    def is_waiting(self, uid: str) -> bool:
        """It could not be set up when that was last tried."""
        return uid in self._waiting_since

    async def refresh(self, pod: Obj, objects: Objects | None = None) -> None:
        """Bring changed config maps, secrets and tokens to a running pod. A failure leaves what was there."""
        uid = pod["metadata"]["uid"]
        async with self._locks[uid]:
            for volume in pod["spec"].get("volumes") or []:
                source = claims.own(volume)
                if source.kind not in FILES or not atomic.is_there(self._path(uid, source)):
                    continue
                try:
                    await self._write_files(pod, source, objects or self._lookup)
                except (VolumeError, ApiError, OSError, ValueError) as error:
                    name = pod["metadata"]["name"]
                    _log.warning("volume not refreshed", pod=name, volume=volume["name"], why=str(error))

    # For containers.

    async def mounts(self, pod: Obj, container: Mapping[str, Any], environment: Mapping[str, str]) -> list[Mount]:
        """What the container sees where. ConfigError when the spec does not fit together."""
        uid, sources = pod["metadata"]["uid"], {}
        wanted = {mount["name"] for mount in container.get("volumeMounts") or []}
        for volume in pod["spec"].get("volumes") or []:
            if volume["name"] in wanted:
                try:
                    source = await self._source(pod, volume)
                except Unprocessed as error:
                    raise VolumeError(str(error)) from error
                read_only = source.read_only or source.kind in FILES
                place = container_mounts.Place(self._path(uid, source), read_only, source.kind == "image")
                sources[volume["name"]] = place
        planned = container_mounts.plan(container, sources, environment, self.pod_directory(uid))
        if any(each.bound for each in planned):
            await asyncio.to_thread(container_mounts.bind, planned, container["name"])
        return [each.mount for each in planned]

    def missing_images(self, pod: Obj, container: Mapping[str, Any]) -> list[Obj]:
        """Its volumes of kind image that are not shown yet: each is to be pulled, and given to `show_image`."""
        wanted = {mount["name"] for mount in container.get("volumeMounts") or []}
        volumes = (v for v in pod["spec"].get("volumes") or [] if v.get("image") and v["name"] in wanted)
        return [v for v in volumes if not os.path.ismount(self._path(pod["metadata"]["uid"], claims.own(v)))]

    async def show_image(self, pod: Obj, volume: Mapping[str, Any], image_id: str) -> None:
        uid = pod["metadata"]["uid"]
        await self._images.show(uid, volume["name"], image_id, self._path(uid, claims.own(volume)))

    # The end.

    async def tear_down(self, uid: str) -> None:
        """Everything of the pod on this node's disk. OSError when a mount cannot be undone."""
        async with self._locks[uid]:
            for key in [k for k in self._sources if k[0] == uid]:
                del self._sources[key]
            self._waiting_since.pop(uid, None)
            directory = self.pod_directory(uid)
            if directory.exists():
                had_images = (directory / "volumes/kubernetes.io~image").exists()
                await asyncio.to_thread(_remove, uid, directory)
                if had_images:
                    await self._images.collect()
                self._lookup.forget_pod(uid)
        self._locks.pop(uid, None)


def _remove(uid: str, directory: Path) -> None:
    mounts.unmount_below(directory)
    pod_cgroup.remove(uid)
    shutil.rmtree(directory)


def _told(source: Source, error: Exception) -> str:
    step = "NewMounter initialization" if source.kind == "local" else "SetUp"
    text = error.message if isinstance(error, ApiError) else str(error)
    return f'MountVolume.{step} failed for volume "{source.name}" : {text}'


def _fs_group(pod: Obj) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)
