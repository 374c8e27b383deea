"""A pod's volumes on the node: set up before its sandbox, refreshed while it runs, gone after it.

Directories are upstream's: <root>/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>. Every step may be run again; what
a step needs to know about an earlier one it finds on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from api.errors import ApiError
from api.meta import Obj
from client import log, trees
from client.clock import Clock
from kubelet.docker.config.parts import Mount
from kubelet.docker.images import Image
from kubelet.pods import pod_cgroup
from kubelet.pods.facts import Facts
from kubelet.pods.lookup import Lookup
from kubelet.volumes import claims, container_mounts, kinds, mounts
from kubelet.volumes.base import Context, Objects, VolumeError
from kubelet.volumes.claims import Source, Unprocessed
from kubelet.volumes.images import Export, ImageVolumes
from kubelet.volumes.threads import FOREIGN, OWN

_log = log.get("volumes")
_TIMEOUT = 123.0
"""Seconds after which a pod that waits for volumes is told of all that it lacks (podAttachAndMountTimeout)."""
_PATIENCE = 3.0
"""Seconds that a pod's worker waits for one of them before it looks whether the pod is still wanted."""
_PARTS = ("volumes", "volume-subpaths", "plugins")
"""Directories of a pod that only its volumes need."""
_CLAIMED = "plugins/kubernetes.io~local-volume"
"""Of a pod: a link for each claim, by the volume's name, to the directory behind it."""
SayFailed = Callable[[str], None]
"""Hears the message of a FailedMount event."""


class _NotYet(Exception):
    """It is being set up."""


class Volumes:
    def __init__(self, facts: Facts, lookup: Lookup, clock: Clock, export: Export) -> None:
        self._facts, self._root, self._lookup, self._clock = facts, facts.root, lookup, clock
        self._images = ImageVolumes(facts.root, export)
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sources: dict[tuple[str, str], Source] = {}
        """What claims were found to be, by uid of the pod and name of its volume."""
        self._slow: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        """What is set up beside the workers: by uid of the pod, kind and name."""
        self._waiting_since: dict[str, float] = {}

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
        soon = False
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
                    await (self._set_up_slowly if source.kind in kinds.SLOW else self._set_up)(pod, source)
                except _NotYet:
                    missing.append(volume["name"])
                    soon = True
                except (VolumeError, ApiError, OSError, ValueError) as error:
                    say(_told(source, error))
                    if not kinds.is_there(self.pod_directory(uid), source):
                        missing.append(volume["name"])
        self._tell_what_is_missing(uid, missing, unprocessed, soon, say)

    def _tell_what_is_missing(
        self, uid: str, missing: list[str], unprocessed: Mapping[str, str], soon: bool, say: SayFailed
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
        raise VolumeError(text, soon=soon or bool(unprocessed))

    async def _source(self, pod: Obj, volume: Mapping[str, Any]) -> Source:
        if not claims.claim_name(pod, volume):
            return claims.own(volume)
        key = (pod["metadata"]["uid"], volume["name"])
        if key not in self._sources:
            self._sources[key] = source = await claims.resolve(pod, volume, self._lookup)
            if source.kind == "local" and not source.block:
                await asyncio.to_thread(self._note, key[0], volume["name"], source.spec["path"])
        return self._sources[key]

    def _note(self, uid: str, volume: str, path: str) -> None:
        """For `claimed`. Without it the volume is as good, and only its figures are missing."""
        link = self.pod_directory(uid) / _CLAIMED / volume
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        except OSError as error:
            _log.warning("no figures of a claim", pod=uid, volume=volume, why=str(error))

    async def _set_up_slowly(self, pod: Obj, source: Source) -> None:
        """A server that does not answer, or a million files to give to a group, must not hold the pod's worker: it goes
        on beside it. _NotYet while it does."""
        key = _slow_key(pod, source)
        if key not in self._slow:
            self._slow[key] = asyncio.create_task(self._set_up(pod, source), name=f"set up {source.name}")
        if not await self._is_through(key):
            raise _NotYet

    async def _is_through(self, key: tuple[str, str, str]) -> bool:
        """Whether it is done by now, or in a moment. What it failed with is raised."""
        task = self._slow[key]
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE)
        if done:
            del self._slow[key]
            task.result()
        return bool(done)

    async def _set_up(self, pod: Obj, source: Source) -> None:
        directory = self.pod_directory(pod["metadata"]["uid"])
        await kinds.set_up(self._context(pod, self._lookup), source, directory)

    def _context(self, pod: Obj, objects: Objects) -> Context:
        return Context(pod, objects, self._facts.host_ip, self._facts.allocatable)

    def _path(self, uid: str, source: Source) -> Path:
        return kinds.place(self.pod_directory(uid), source)

    def claimed(self, uid: str) -> dict[str, Path]:
        """Directories of the node's disks that are behind the pod's claims, by the volume's name. Blocks."""
        return {link.name: link.readlink() for link in (self.pod_directory(uid) / _CLAIMED).glob("*")}

    # While it runs.

    def is_waiting(self, uid: str) -> bool:
        """It could not be set up when that was last tried."""
        return uid in self._waiting_since

    async def refresh(self, pod: Obj, objects: Objects) -> None:
        """Bring changed config maps, secrets and tokens to a running pod. A failure leaves what was there."""
        uid = pod["metadata"]["uid"]
        directory = self.pod_directory(uid)
        async with self._locks[uid]:
            for volume in pod["spec"].get("volumes") or []:
                source = claims.own(volume)
                if not kinds.is_there(directory, source):
                    continue
                try:
                    await kinds.set_up(self._context(pod, objects), source, directory)
                except (VolumeError, ApiError, OSError, ValueError) as error:
                    name = pod["metadata"]["name"]
                    _log.warning("volume not refreshed", pod=name, volume=volume["name"], why=str(error))

    # For containers.

    async def mounts(self, pod: Obj, container: Mapping[str, Any], environment: Mapping[str, str]) -> list[Mount]:
        """What the container sees where. ConfigError when the spec does not fit together."""
        uid = pod["metadata"]["uid"]
        places = {
            name: container_mounts.Place(
                self._path(uid, source), source.read_only or source.kind in kinds.FILES, source.kind == "image"
            )
            for name, source in await self._sources_of(pod, container.get("volumeMounts"))
        }
        planned = container_mounts.plan(container, places, environment, self.pod_directory(uid))
        if any(each.bound for each in planned):
            await FOREIGN.run(container_mounts.bind, planned, container["name"])
        return [each.mount for each in planned]

    async def devices(self, pod: Obj, container: Mapping[str, Any]) -> list[Obj]:
        """Its volumeDevices, as Docker is told of them."""
        wanted = container.get("volumeDevices") or []
        found = dict(await self._sources_of(pod, wanted))
        return [
            {
                "PathOnHost": str(self._path(pod["metadata"]["uid"], found[device["name"]])),
                "PathInContainer": device["devicePath"],
                "CgroupPermissions": "rm" if found[device["name"]].read_only else "rwm",
            }
            for device in wanted
        ]

    async def groups(self, pod: Obj) -> list[int]:
        """Those that the pod's volumes ask its processes to be in."""
        of_claims = [v for v in pod["spec"].get("volumes") or [] if claims.claim_name(pod, v)]
        return [source.group for _, source in await self._sources_of(pod, of_claims) if source.group is not None]

    async def _sources_of(self, pod: Obj, wanted: Iterable[Mapping[str, Any]] | None) -> list[tuple[str, Source]]:
        """Of the pod's volumes that have the names of `wanted`."""
        names = {each["name"] for each in wanted or ()}
        volumes = [v for v in pod["spec"].get("volumes") or [] if v["name"] in names]
        try:
            return [(v["name"], await self._source(pod, v)) for v in volumes]
        except Unprocessed as error:
            raise VolumeError(str(error)) from error

    def missing_images(self, pod: Obj, container: Mapping[str, Any]) -> list[Obj]:
        """Its volumes of kind image that are not shown yet: each is to be pulled, and given to `show_image`."""
        wanted = {mount["name"] for mount in container.get("volumeMounts") or []}
        volumes = (v for v in pod["spec"].get("volumes") or [] if v.get("image") and v["name"] in wanted)
        return [v for v in volumes if not mounts.is_inert(self._path(pod["metadata"]["uid"], claims.own(v)))]

    async def show_image(
        self, pod: Obj, volume: Mapping[str, Any], image: Callable[[], Awaitable[Image]], wake: Callable[[], None]
    ) -> bool:
        """False while the image is unpacked, which may take minutes and goes on beside the pod's worker: `wake` is
        called after it. `image` is asked once, at the beginning. Failures are its own, the export's, and OSError."""
        uid, source = pod["metadata"]["uid"], claims.own(volume)
        key = _slow_key(pod, source)
        if key not in self._slow:
            work = self._images.show(uid, source.name, (await image()).id, self._path(uid, source))
            self._slow[key] = asyncio.create_task(work, name=f"show image {source.name}")
        task = self._slow[key]
        if await self._is_through(key):
            return True
        task.add_done_callback(lambda _: wake())
        return False

    # The end.

    async def release(self, uid: str) -> None:
        """The volumes of a pod that has ended for good; its logs and last words stay. OSError when a mount cannot be
        undone. Source: kubelet.go SyncTerminatedPod."""
        async with self._locks[uid]:
            if any((self.pod_directory(uid) / part).exists() for part in _PARTS):
                await self._clear(uid, _remove_volumes)

    async def tear_down(self, uid: str) -> None:
        """Everything of the pod on this node's disk. OSError when a mount cannot be undone."""
        async with self._locks[uid]:
            await self._clear(uid, _remove)
        self._locks.pop(uid, None)

    async def _clear(self, uid: str, remove: Callable[[str, Path], None]) -> None:
        for key in [k for k in self._sources if k[0] == uid]:
            del self._sources[key]
        self._waiting_since.pop(uid, None)
        directory = self.pod_directory(uid)
        slow = [self._slow.pop(key) for key in list(self._slow) if key[0] == uid]
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        if directory.exists():
            had_images = self._images.are_wanted_by(uid)
            await OWN.run(remove, uid, directory)
            if had_images:
                await self._images.collect()
            self._lookup.forget_pod(uid)


def _slow_key(pod: Obj, source: Source) -> tuple[str, str, str]:
    return pod["metadata"]["uid"], source.kind, source.name


def _remove(uid: str, directory: Path) -> None:
    mounts.unmount_below(directory)
    pod_cgroup.remove(uid)
    trees.remove(directory)


def _remove_volumes(uid: str, directory: Path) -> None:
    mounts.unmount_below(directory)
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            trees.remove(directory / part)


def _told(source: Source, error: Exception) -> str:
    step = "NewMounter initialization" if source.kind == "local" else "SetUp"
    text = error.message if isinstance(error, ApiError) else str(error)
    return f'MountVolume.{step} failed for volume "{source.name}" : {text}'
