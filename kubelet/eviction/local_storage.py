"""Pods that use more local storage than they may, whatever the node has left. Pure.

Source: pkg/kubelet/eviction/eviction_manager.go (localStorageEviction).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import pod_resources, quantities
from kubelet.pods.model import spec_containers
from kubelet.stats.model import DiskUsage

_STORAGE = "ephemeral-storage"


def is_limited(pod: Mapping[str, Any]) -> bool:
    """Whether there is anything to measure."""
    return bool(_sized(pod)) or any(_limit(container) is not None for container in spec_containers(pod))


def excess(pod: dict[str, Any], used: DiskUsage, *, layers_on_root: bool) -> tuple[str, str]:
    """Which limit was overrun, in the names of upstream's metric, and why the pod is to go; both "" when none was.
    `layers_on_root`: what containers write into their own root lies on the
    filesystem of the kubelet's directory."""
    for name, limit in _sized(pod).items():
        of_volume, most = used.volumes.get(name), quantities.canonical(limit)
        if of_volume is not None and of_volume.bytes > quantities.units(limit):
            return "emptydirfs.limit", f'Usage of EmptyDir volume "{name}" exceeds the limit "{most}". '
    total = pod_resources.limits(pod).get(_STORAGE)
    if total is not None and used.ephemeral.bytes > quantities.units(total):
        most = quantities.canonical(total)
        text = f"Pod ephemeral local storage usage exceeds the total limit of containers {most}. "
        return "ephemeralpodfs.limit", text
    for container in spec_containers(pod):
        name, allowed = container["name"], _limit(container)
        parts = (used.logs.get(name), used.layers.get(name) if layers_on_root else None)
        if allowed is not None and sum(part.bytes for part in parts if part is not None) > quantities.units(allowed):
            most = quantities.canonical(allowed)
            return (
                "ephemeralcontainerfs.limit",
                f'Container {name} exceeded its local ephemeral storage limit "{most}". ',
            )
    return "", ""


def _sized(pod: Mapping[str, Any]) -> dict[str, str]:
    """emptyDir volumes with a limit."""
    found = {}
    for volume in pod["spec"].get("volumes") or []:
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit is not None and quantities.parse(limit) > 0:
            found[volume["name"]] = limit
    return found


def _limit(container: Mapping[str, Any]) -> str | None:
    limit = ((container.get("resources") or {}).get("limits") or {}).get(_STORAGE)
    return None if limit is None or quantities.parse(limit) == 0 else limit
