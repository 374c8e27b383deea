"""Where a volume of each kind is on the node, and what makes it so.

A kind is an entry of the tables here and, mostly, a file beside this one. Whatever is done may be done again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from api.meta import Obj
from kubelet.volumes import (
    atomic,
    config_map,
    downward_api,
    empty_dir,
    host_path,
    mounts,
    network_fs,
    ownership,
    projected,
    secret,
)
from kubelet.volumes.base import Context, Payload, VolumeError
from kubelet.volumes.claims import Source
from kubelet.volumes.threads import FOREIGN

FILES: dict[str, Callable[[Context, Mapping[str, Any], int], Awaitable[Payload]]] = {
    "configMap": config_map.payload,
    "secret": secret.payload,
    "downwardAPI": downward_api.payload,
    "projected": projected.payload,
}
"""Kinds that are files made of objects: they follow what these are made of."""
SLOW = ("hostPath", "local", "nfs")
"""Kinds that may take minutes: much is to be done, or a server does not answer."""
_IN_MEMORY = ("secret", "projected", "downwardAPI")
_ON_THE_MACHINE = ("hostPath", "local")
_DIRECTORY = {
    "configMap": "configmap", "secret": "secret", "downwardAPI": "downward-api", "projected": "projected",
    "emptyDir": "empty-dir", "nfs": "nfs",
}  # fmt: skip
_DEFAULT_MODE = 0o644


def place(pod_directory: Path, source: Source) -> Path:
    """Where the volume's files are."""
    if source.kind in _ON_THE_MACHINE:
        return Path(source.spec["path"])
    plugin = _DIRECTORY.get(source.kind, source.kind)
    return pod_directory / "volumes" / f"kubernetes.io~{plugin}" / source.name


def is_there(pod_directory: Path, source: Source) -> bool:
    """Of one of FILES: it was set up before, by whichever kubelet."""
    return source.kind in FILES and atomic.is_there(place(pod_directory, source))


async def set_up(context: Context, source: Source, pod_directory: Path) -> None:
    """VolumeError, ApiError, OSError and ValueError say why it cannot be had."""
    directory, group = place(pod_directory, source), _fs_group(context.pod)
    match source.kind:
        case kind if kind in FILES:
            await _write(context, source, directory)
        case "hostPath":
            await FOREIGN.run(host_path.set_up, source.spec)
        case "local":
            if not await FOREIGN.run(directory.exists):
                raise VolumeError(f'path "{directory}" does not exist')
            if group is not None and not source.read_only and not source.block:
                policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
                await _give(directory, group, policy == "OnRootMismatch")
        case "emptyDir":
            size = empty_dir.memory_size(source.spec, context.pod, context.node_allocatable)
            ready = pod_directory / "plugins/kubernetes.io~empty-dir" / source.name / "ready"
            await asyncio.to_thread(empty_dir.set_up, source.spec, directory, ready, size, group)
        case "nfs":
            await network_fs.set_up(source.spec, directory, source.options, source.read_only)
        case "image":
            pass  # containers that mount it ask for it
        case _:
            raise VolumeError(f"volumes of kind {source.kind} are not supported on this node")


async def _give(directory: Path, group: int, only_on_mismatch: bool) -> None:
    """Given up, wherever it is, when the pod is taken down meanwhile."""
    given_up = threading.Event()
    try:
        await FOREIGN.run(ownership.give, directory, group, only_on_mismatch=only_on_mismatch, given_up=given_up)
    finally:
        given_up.set()


async def _write(context: Context, source: Source, directory: Path) -> None:
    mode = source.spec.get("defaultMode")
    payload = await FILES[source.kind](context, source.spec, _DEFAULT_MODE if mode is None else int(mode))

    def write() -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if source.kind in _IN_MEMORY:
            mounts.mount_tmpfs(directory)
        atomic.write(directory, payload, _fs_group(context.pod))

    await asyncio.to_thread(write)


def _fs_group(pod: Obj) -> int | None:
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    return None if group is None else int(group)
