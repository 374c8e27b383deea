"""Which pods nobody else will ever remove. Pure.

Rules: k8s.io/kubernetes/pkg/controller/podgc/gc_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from api import meta
from api.meta import Obj
from controller import node_taints, pod_state

TERMINATED_THRESHOLD = 12500
QUARANTINE = 40.0  # seconds a node has to be gone: it may be about to register again


def surplus_terminated(pods: Iterable[Obj], threshold: int = TERMINATED_THRESHOLD) -> list[Obj]:
    """The oldest finished pods beyond `threshold`."""
    ended = [pod for pod in pods if pod_state.is_terminal(pod)]
    ended.sort(key=lambda pod: (str(pod["metadata"].get("creationTimestamp") or ""), meta.name(pod)))
    return ended[: max(0, len(ended) - threshold)]


def unscheduled_terminating(pods: Iterable[Obj]) -> list[Obj]:
    """On their way out and never assigned: there is no kubelet to confirm it."""
    return [pod for pod in pods if meta.is_deleting(pod) and not pod_state.node_name(pod)]


def out_of_service_terminating(pods: Iterable[Obj], nodes: Mapping[str, Obj]) -> list[Obj]:
    """On their way out, on a node that is not ready and that an administrator declared out of service."""
    given_up = {
        name for name, node in nodes.items()
        if not meta.is_condition_true(node, "Ready")
        and any(t.get("key") == node_taints.OUT_OF_SERVICE for t in node_taints.taints_of(node))
    }  # fmt: skip
    return [pod for pod in pods if meta.is_deleting(pod) and pod_state.node_name(pod) in given_up]


class Quarantine:
    """Nodes that pods name and that do not exist, each with the moment this was first seen."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def gone(self, pods: Iterable[Obj], existing: Iterable[str], at: float) -> set[str]:
        """Names of the nodes that have been missing for QUARANTINE seconds."""
        missing = {pod_state.node_name(pod) for pod in pods} - {""} - set(existing)
        self._since = {name: self._since.get(name, at) for name in missing}
        return {name for name, since in self._since.items() if at - since >= QUARANTINE}
