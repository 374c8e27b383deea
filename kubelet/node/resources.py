"""What a node has, and what of it pods may request. Pure.

allocatable = capacity − kubeReserved − systemReserved − the hard eviction thresholds (KEP: node allocatable,
https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/; pkg/kubelet/cm/node_container_manager
_linux.go, pkg/kubelet/nodestatus/setters.go). Huge pages are not memory that pods may request as such.
"""

from __future__ import annotations

from api import quantities
from kubelet.configuration import Configuration
from kubelet.node.machine import Machine

_EVICTED_FOR = {"memory": "memory.available", "ephemeral-storage": "nodefs.available"}


def capacity(found: Machine, configuration: Configuration) -> dict[str, str]:
    per_core = configuration.pods_per_core * found.cpus
    huge = {f"hugepages-{quantities.format_binary(size)}": amount for size, amount in found.huge_pages.items()}
    return {
        "cpu": str(found.cpus),
        **{name: quantities.format_binary(amount) for name, amount in huge.items()},
        "memory": _kibibytes(found.memory),
        "ephemeral-storage": _kibibytes(found.disk),
        "pods": str(min(configuration.max_pods, per_core or configuration.max_pods)),
    }


def allocatable(found: Machine, configuration: Configuration) -> dict[str, str]:
    left = capacity(found, configuration)
    for reserved in (configuration.kube_reserved, configuration.system_reserved):
        for name, amount in reserved.items():
            if name in left:
                left[name] = quantities.subtract(left[name], amount)
    amounts = {"memory": found.memory, "ephemeral-storage": found.disk}
    for name, signal in _EVICTED_FOR.items():
        threshold = configuration.eviction_hard.get(signal)
        taken = 0 if threshold is None else threshold.of(amounts[name])
        if name == "memory":
            taken += sum(found.huge_pages.values())
        left[name] = quantities.format_binary(max(0, quantities.units(left[name]) - taken))
    return left


def _kibibytes(amount: int) -> str:
    return quantities.canonical(f"{amount // 1024}Ki")
