"""TaintNodesByCondition: a new node takes no pods until the node loop has seen it ready."""

from __future__ import annotations

from api.builtin import NODES
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin

_NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is NODES and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        spec = attempt.new().setdefault("spec", {})
        taints: list[Obj] = spec.get("taints") or []
        if not any(t.get("key") == _NOT_READY["key"] and t.get("effect") == "NoSchedule" for t in taints):
            taints.append(dict(_NOT_READY))
        spec["taints"] = taints
