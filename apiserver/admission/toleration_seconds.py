"""DefaultTolerationSeconds: a pod that says nothing of lost nodes stays on one for five minutes."""

from __future__ import annotations

from api.builtin import PODS
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin

_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_SECONDS = 300


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is PODS and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        spec = attempt.new()["spec"]
        tolerations: list[Obj] = spec.get("tolerations") or []
        for taint in _TAINTS:
            if not any(_concerns(t, taint) for t in tolerations):
                tolerations.append(
                    {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SECONDS}
                )
        spec["tolerations"] = tolerations


def _concerns(toleration: Obj, taint: str) -> bool:
    return toleration.get("key", "") in ("", taint) and toleration.get("effect", "") in ("", "NoExecute")
