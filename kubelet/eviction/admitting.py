"""Which pods are not taken while the node is short of something. Pure.

Source: pkg/kubelet/eviction/eviction_manager.go (Admit).
"""

from __future__ import annotations

from collections.abc import Collection

from api.meta import Obj
from api.placement import tolerates
from kubelet.eviction.thresholds import MEMORY
from kubelet.pods.admission import Rejection
from kubelet.pods.critical import is_critical
from kubelet.pods.qos import qos_class

_TAINT: Obj = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}


def refused(pod: Obj, conditions: Collection[str] | None) -> Rejection | None:
    """None but critical ones under pressure of disk or processes; of memory, none of those that request nothing."""
    if not conditions or is_critical(pod):
        return None
    if set(conditions) == {MEMORY} and (
        qos_class(pod) != "BestEffort" or any(tolerates(t, _TAINT) for t in pod["spec"].get("tolerations") or [])
    ):
        return None
    return Rejection("Evicted", f"The node had condition: [{' '.join(sorted(conditions))}]. ")
