"""Quality of service classes, and what resources mean to the kernel. Pure.

Sources: pkg/apis/core/v1/helper/qos, pkg/kubelet/qos/policy.go, pkg/kubelet/cm/helpers_linux.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import quantities

_CPU_PERIOD = 100_000
_LEAST_QUOTA = 1_000
_LEAST_SHARES = 2
_MOST_SHARES = 262_144


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]


def qos_class(pod: Mapping[str, Any]) -> str:
    """Guaranteed when every container has limits for cpu and memory that equal its requests; BestEffort when
    none asks for anything; else Burstable."""
    asked, guaranteed = False, True
    for container in _containers(pod):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit = quantities.parse(limits[name]) if limits.get(name) is not None else None
            request = quantities.parse(requests[name]) if requests.get(name) is not None else limit
            asked = asked or bool(limit) or bool(request)
            guaranteed = guaranteed and bool(limit) and limit == request
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def oom_score_adj(pod: Mapping[str, Any], container: Mapping[str, Any], node_memory: int) -> int:
    qos = qos_class(pod)
    if qos == "Guaranteed":
        return -997
    if qos == "BestEffort":
        return 1000
    request = (container.get("resources") or {}).get("requests", {}).get("memory")
    asked = quantities.units(request) if request is not None else 0
    score = 1000 - (1000 * asked) // max(node_memory, 1)
    return int(min(max(score, 3), 999))


def docker_resources(container: Mapping[str, Any]) -> dict[str, int]:
    """HostConfig fields for requests and limits."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    fields: dict[str, int] = {}
    cpu = requests.get("cpu", limits.get("cpu"))
    shares = quantities.millis(cpu) * 1024 // 1000 if cpu is not None else 0
    fields["CpuShares"] = min(max(shares, _LEAST_SHARES), _MOST_SHARES)
    if limits.get("cpu") is not None and quantities.millis(limits["cpu"]) > 0:
        fields["CpuPeriod"] = _CPU_PERIOD
        fields["CpuQuota"] = max(quantities.millis(limits["cpu"]) * _CPU_PERIOD // 1000, _LEAST_QUOTA)
    if limits.get("memory") is not None and quantities.units(limits["memory"]) > 0:
        fields["Memory"] = fields["MemorySwap"] = quantities.units(limits["memory"])
    return fields
