"""Priority: a pod's class as a number. The two system classes exist; others come with PriorityClass."""

from __future__ import annotations

from api.builtin import PODS
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin

_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Priority(Plugin):
    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is PODS and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        spec = attempt.new()["spec"]
        name = spec.get("priorityClassName", "")
        priority = _CLASSES.get(name, 0)
        if name and name not in _CLASSES:
            raise attempt.forbidden(f"no PriorityClass with name {name} was found")
        if spec.get("priority", priority) != priority:
            raise attempt.forbidden(
                "the integer value of priority must not be provided in pod spec; "
                f"priority admission controller computed {priority} from the given PriorityClass name"
            )
        spec["priority"] = priority
        policy = spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        if name and policy != "PreemptLowerPriority":
            raise attempt.forbidden(
                "the string value of PreemptionPolicy must not be provided in pod spec; "
                "priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
            )
