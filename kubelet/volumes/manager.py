"""A pod's volumes on the node: set up before its sandbox, refreshed while it runs, gone after it.

Directories are upstream's: <root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>. A kind is a file beside this
one and an entry below.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from api.errors import ApiError
from api.meta import Obj
from client import log
from kubelet.docker.container_config import Mount
from kubelet.pods.environment import ConfigError, expand
from kubelet.pods.lookup import Lookup
from kubelet.volumes import atomic, config_map, downward_api, empty_dir, host_path, mounts, projected, secret
from kubelet.volumes.base import Context, Payload, VolumeError

_log = log.get("volumes")
_DEFAULT_MODE = 0o644
_FILES: dict[str, Callable[[Context, Mapping[str, Any], int], Awaitable[Payload]]] = {
    "configMap": config_map.payload,
    "secret": secret.payload,
    "downwardAPI": downward_api.payload,
    "projected": projected.payload,
}
_IN_MEMORY = ("secret", "projected")
_DIRECTORY = {
    "configMap": "configmap", "secret": "secret", "downwardAPI": "downward-api", "projected": "projected",
    "emptyDir": "empty-dir",
}  # fmt: skip
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared", "None": "rprivate"}


class Volumes:
    def __init__(self, root: Path, lookup: Lookup) -> None:
        self._root, self._lookup = root, lookup
        self.host_ip = ""
        self.node_allocatable: Mapping[str, str] = {}

    def pod_directory(self, uid: str) -> Path:
        return self._root / "pods" / uid

    def known_pods(self) -> list[str]:
        """Pods that have a directory on this node."""
        directory = self._root / "pods"
        return [entry.name for entry in directory.iterdir()] if directory.is_dir() else []

    def _path(self, pod: Obj, volume: Mapping[str, Any]) -> Path:
        kind = _kind(volume)
        if kind == "hostPath":
            return Path(volume["hostPath"]["path"])
        base = self.pod_directory(pod["metadata"]["uid"]) / "volumes"
        return base / f"kubernetes.io~{_DIRECTORY[kind]}" / str(volume["name"])

    async def set_up(self, pod: Obj) -> None:
        """All volumes of the pod. VolumeError names the one that cannot be had."""
        for volume in pod["spec"].get("volumes") or []:
            try:
                await self._set_up(pod, volume)
            except (VolumeError, ApiError, OSError, ValueError) as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    async def _set_up(self, pod: Obj, volume: Mapping[str, Any]) -> None:
        kind, group = _kind(volume), _fs_group(pod)
        if kind == "hostPath":
            host_path.set_up(volume[kind])
            return
        directory = self._path(pod, volume)
        if kind == "emptyDir":
            await asyncio.to_thread(empty_dir.set_up, volume[kind] or {}, directory)
            if group is not None:
                os.chown(directory, -1, group)
                directory.chmod(0o2777)
            return
        source = volume[kind] or {}
        mode = source.get("defaultMode")
        context = Context(pod, self._lookup, self.host_ip, self.node_allocatable)
        payload = await _FILES[kind](context, source, _DEFAULT_MODE if mode is None else int(mode))
        if kind in _IN_MEMORY:
            directory.mkdir(parents=True, exist_ok=True)
            mounts.mount_tmpfs(directory)
        await asyncio.to_thread(atomic.write, directory, payload, group)

    async def refresh(self, pod: Obj) -> None:
        """Bring changed config maps, secrets and tokens to a running pod. A failure leaves what was there."""
        for volume in pod["spec"].get("volumes") or []:
            if next((k for k in _FILES if k in volume), None) is None:
                continue
            try:
                await self._set_up(pod, volume)
            except (VolumeError, ApiError, OSError, ValueError) as error:
                name = pod["metadata"]["name"]
                _log.warning("volume not refreshed", pod=name, volume=volume["name"], why=str(error))

    def mounts(self, pod: Obj, container: Mapping[str, Any], environment: Mapping[str, str]) -> list[Mount]:
        """What the container sees where. ConfigError when the spec does not fit together."""
        by_name = {v["name"]: v for v in pod["spec"].get("volumes") or []}
        made = []
        for mount in container.get("volumeMounts") or []:
            volume = by_name.get(mount["name"])
            if volume is None:
                raise ConfigError(f'volume "{mount["name"]}" is not in the pod')
            source = self._path(pod, volume)
            sub_path = mount.get("subPath") or expand(mount.get("subPathExpr") or "", environment)
            if sub_path:
                source = _below(source, sub_path)
            propagation = _PROPAGATION.get(mount.get("mountPropagation") or "", "")
            target = mount["mountPath"]
            made.append(
                Mount(
                    str(source),
                    target if target.startswith("/") else f"/{target}",
                    bool(mount.get("readOnly")) or _kind(volume) in _FILES,
                    propagation,
                )
            )
        return made

    def tear_down(self, uid: str) -> None:
        """Everything of the pod on this node's disk. OSError when a mount cannot be undone."""
        directory = self.pod_directory(uid)
        if not directory.exists():
            return
        mounts.unmount_below(directory)
        shutil.rmtree(directory)
        self._lookup.forget_pod(uid)


def _kind(volume: Mapping[str, Any]) -> str:
    kind = next((k for k in (*_FILES, "emptyDir", "hostPath") if k in volume), "")
    if not kind:
        asked = next((k for k in volume if k != "name"), "none")
        raise VolumeError(f"volumes of kind {asked} are not supported on this node")
    return kind


def _fs_group(pod: Obj) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)


def _below(root: Path, sub_path: str) -> Path:
    """root/sub_path, made if missing, refused when it leads out of the volume."""
    top = root.resolve()
    wanted = (top / sub_path).resolve()
    if wanted != top and top not in wanted.parents:
        raise ConfigError(f'failed to prepare subPath for volumeMount: "{sub_path}" leads out of the volume')
    if not wanted.exists():
        wanted.mkdir(parents=True, mode=0o755)
    return wanted
