"""What a container sees of its pod's volumes: volumeMounts as Docker's bind mounts. `plan` is pure, `bind` does it.

A subPath, and what is to be read-only all the way down, is bound to a place of the container's own first.
Source: kubelet_pods.go makeMounts
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from client import log
from kubelet.docker.config.parts import Mount
from kubelet.pods.environment import ConfigError, expand
from kubelet.volumes import read_only, sub_path

_log = log.get("volumes")
_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared", "None": "rprivate"}


class Place(NamedTuple):
    """Where a volume is on the machine."""

    path: Path
    read_only: bool = False
    inert: bool = False
    """The mount there allows nothing but reading."""


@dataclass(frozen=True, slots=True)
class Planned:
    mount: Mount
    volume: str
    bound: Path | None = None
    """The place of its own that `volume_path/sub_path` is to be bound to first."""
    volume_path: Path = Path()
    sub_path: str = ""
    recursively_read_only: bool = False


def plan(
    container: Mapping[str, Any],
    places: Mapping[str, Place],
    environment: Mapping[str, str],
    pod_directory: Path,
    node_can: bool = read_only.NODE_CAN,
) -> list[Planned]:
    """`places` by volume name. ConfigError when the spec does not fit together."""
    planned = []
    for index, mount in enumerate(container.get("volumeMounts") or []):
        name, target = mount["name"], mount["mountPath"]
        place = places.get(name)
        if place is None:
            raise ConfigError(f'cannot find volume "{name}" to mount into container "{container["name"]}"')
        path, frozen = _sub_path(mount, environment), read_only.is_recursive(mount, node_can)
        own = pod_directory / "volume-subpaths" / name / container["name"] / str(index)
        bound = own if path or frozen else None
        made = Mount(
            str(bound or place.path),
            target if target.startswith("/") else f"/{target}",
            # Docker would set the flags of the topmost mount anew.
            (bool(mount.get("readOnly")) or place.read_only) and not (frozen or place.inert),
            _PROPAGATION.get(mount.get("mountPropagation") or "", ""),
        )
        planned.append(Planned(made, name, bound, place.path, path, frozen))
    return planned


def _sub_path(mount: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    path = str(mount.get("subPath") or "")
    expression = mount.get("subPathExpr")
    if expression:
        missing = sorted({name for name in _REFERENCE.findall(expression) if name and not environment.get(name)})
        if missing:
            raise ConfigError(f"missing value for {', '.join(missing)}")
        path = expand(expression, environment)
    if path.startswith("/"):
        raise ConfigError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise ConfigError(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path


def bind(planned: Sequence[Planned], container: str) -> None:
    """ConfigError, which says nothing of the machine's file system: the pod's owner reads it. Blocking."""
    for each in planned:
        if each.bound is None:
            continue
        try:
            known = os.path.exists(each.volume_path / each.sub_path)
            sub_path.bind(each.volume_path, each.sub_path, each.bound, recursively_read_only=each.recursively_read_only)
        except OSError as error:
            _log.warning("subPath refused", container=container, volume=each.volume, why=str(error))
            step = "prepare subPath" if known else "create subPath directory"
            raise ConfigError(f'failed to {step} for volumeMount "{each.volume}" of container "{container}"') from error
