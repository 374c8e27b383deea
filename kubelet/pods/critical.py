"""Which pods a node keeps even when it is short of something. Pure.

Source: pkg/kubelet/types/pod_update.go (IsCriticalPod, IsStaticPod, IsMirrorPod).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
_SOURCE, _MIRROR = "kubernetes.io/config.source", "kubernetes.io/config.mirror"


def priority(pod: Mapping[str, Any]) -> int:
    return int(pod["spec"].get("priority") or 0)


def is_static(pod: Mapping[str, Any]) -> bool:
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(_SOURCE, "api") != "api" or _MIRROR in annotations


def is_critical(pod: Mapping[str, Any]) -> bool:
    return is_static(pod) or priority(pod) >= SYSTEM_CRITICAL_PRIORITY
