"""What resources mean to the kernel. Pure.

Sources: pkg/kubelet/qos/policy.go, pkg/kubelet/cm/helpers_linux.go
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api import pod_resources, quantities
from kubelet.pods.model import is_init, is_sidecar

CPU_PERIOD = 100_000
_LEAST_QUOTA = 1_000
_LEAST_SHARES = 2
_MOST_SHARES = 262_144
_GUARANTEED, _BEST_EFFORT = -997, 1000
_NODE_CRITICAL = 2_000_001_000  # system-node-critical


def qos_class(pod: Mapping[str, Any]) -> str:
    return pod_resources.qos_class(pod["spec"])


def oom_score_adj(pod: Mapping[str, Any], container: Mapping[str, Any], node_memory: int) -> int:
    """How soon the kernel ends the container's processes: the less it asked for of the node's memory, the sooner.

    Of what is asked for the pod as a whole (KEP-2837) each container has its part, and a sidecar goes no sooner than
    the main containers do (KEP-753).
    """
    spec = pod["spec"]
    qos = qos_class(pod)
    if qos == "Guaranteed" or (spec.get("priority") or 0) >= _NODE_CRITICAL:
        return _GUARANTEED
    if qos == "BestEffort":
        return _BEST_EFFORT
    asked = _memory_request(container)
    mains, inits = spec.get("containers") or [], spec.get("initContainers") or []
    if is_sidecar(container) and is_init(pod, container["name"]):
        asked = max(asked, min((_memory_request(main) for main in mains), default=0))
    whole = _memory_request(spec)
    if whole:
        by_containers = {**pod, "spec": {k: v for k, v in spec.items() if k not in ("resources", "overhead")}}
        taken = quantities.units(pod_resources.requests(by_containers).get("memory", "0"))
        asked += (whole - taken) // (len(mains) + len(inits))
    score = _BEST_EFFORT - (1000 * asked) // max(node_memory, 1)
    return int(min(max(score, 1000 + _GUARANTEED), _BEST_EFFORT - 1))


def _memory_request(of: Mapping[str, Any]) -> int:
    request = ((of.get("resources") or {}).get("requests") or {}).get("memory")
    return int(quantities.units(request)) if request is not None else 0


def docker_resources(container: Mapping[str, Any]) -> dict[str, int]:
    """HostConfig fields for requests and limits."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    fields: dict[str, int] = {}
    cpu = requests.get("cpu", limits.get("cpu"))
    shares = quantities.millis(cpu) * 1024 // 1000 if cpu is not None else 0
    fields["CpuShares"] = min(max(shares, _LEAST_SHARES), _MOST_SHARES)
    if limits.get("cpu") is not None and quantities.millis(limits["cpu"]) > 0:
        fields["CpuPeriod"] = CPU_PERIOD
        fields["CpuQuota"] = max(quantities.millis(limits["cpu"]) * CPU_PERIOD // 1000, _LEAST_QUOTA)
    if limits.get("memory") is not None and quantities.units(limits["memory"]) > 0:
        fields["Memory"] = fields["MemorySwap"] = quantities.units(limits["memory"])
    return fields
