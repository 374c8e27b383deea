"""Which pods this node takes on, and which of their resizes: what the machine, its shutdown and pressure, and the pods
it has already say to that."""

from __future__ import annotations

from collections.abc import Callable

from api.meta import Obj
from kubelet.eviction.admitting import refused
from kubelet.eviction.manager import Evictions
from kubelet.node.shutdown import Shutdown
from kubelet.pods import admission, resize_plan
from kubelet.pods.admission import Rejection
from kubelet.pods.facts import Facts
from kubelet.pods.pods import Pods


class NodeAdmission:
    def __init__(
        self, node: Callable[[], Obj], pods: Pods, shutdown: Shutdown, evictions: Evictions, facts: Facts
    ) -> None:
        self._node, self._pods, self._facts = node, pods, facts
        self._shutdown, self._evictions = shutdown, evictions

    def admit(self, pod: Obj) -> Rejection | None:
        return (
            self._shutdown.refused()
            or refused(pod, self._evictions.conditions)
            or admission.admit(pod, self._node(), self._others(pod), self._facts.configuration)
            or admission.app_armor(pod, self._facts.app_armor)
        )

    def resize(self, pod: Obj) -> tuple[str, str]:
        """As `resize_plan.judge`."""
        return resize_plan.judge(pod, self._node(), self._others(pod), self._facts.configuration)

    def _others(self, pod: Obj) -> list[Obj]:
        return self._pods.admitted(pod["metadata"]["uid"])
