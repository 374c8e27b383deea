"""Mounts that are read-only all the way down (recursiveReadOnly), and what a container's status says of its mounts.
Pure.

https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/3857-rro-mounts ; texts: kubelet_pods.go
resolveRecursiveReadOnly
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from api.meta import Obj
from kubelet.pods.environment import ConfigError

NODE_CAN = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2]) >= (5, 12)
"""Linux 5.12 brought mount_setattr(2)."""


def is_recursive(mount: Mapping[str, Any], node_can: bool = NODE_CAN) -> bool:
    """ConfigError when that is asked for and cannot be had."""
    asked = mount.get("recursiveReadOnly") or "Disabled"
    if asked == "Disabled":
        return False
    propagation = mount.get("mountPropagation") or "None"
    lacks = ""
    if not mount.get("readOnly"):
        lacks = "read-only"
    elif propagation != "None":
        lacks = f'compatible with propagation "{propagation}"'
    elif asked == "Enabled" and not node_can:
        lacks = "supported by the runtime"
    if lacks:
        text = f'volume "{mount["name"]}" requested recursive read-only mode, but it is not {lacks}'
        raise ConfigError(f"failed to resolve recursive read-only mode: {text}")
    return node_can


def status(container: Mapping[str, Any], node_can: bool = NODE_CAN) -> list[Obj]:
    """`volumeMounts` of a container's status."""
    told = []
    for mount in container.get("volumeMounts") or []:
        entry = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            try:
                recursive = is_recursive(mount, node_can)
            except ConfigError:
                recursive = False
            entry |= {"readOnly": True, "recursiveReadOnly": "Enabled" if recursive else "Disabled"}
        told.append(entry)
    return told
