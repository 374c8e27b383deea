"""Which pods a node keeps even when it is short of something. Pure.

Source: pkg/kubelet/types/pod_update.go (IsCriticalPod, IsStaticPod, IsMirrorPod).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
SOURCE, HASH, MIRROR = (f"kubernetes.io/config.{name}" for name in ("source", "hash", "mirror"))


def priority(pod: Mapping[str, Any]) -> int:
    return int(pod["spec"].get("priority") or 0)


def mirrored_uid(pod: Mapping[str, Any]) -> str:
    """The uid of the static pod that this one mirrors; "" when it is no mirror."""
    return str(((pod.get("metadata") or {}).get("annotations") or {}).get(MIRROR, ""))


def is_static(pod: Mapping[str, Any]) -> bool:
    annotations = pod["metadata"].get("annotations") or {}
    return annotations.get(SOURCE, "api") != "api" or MIRROR in annotations


def is_critical(pod: Mapping[str, Any]) -> bool:
    return is_static(pod) or priority(pod) >= SYSTEM_CRITICAL_PRIORITY
