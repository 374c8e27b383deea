"""ServiceAccount: every pod runs as an account, `default` when it names none."""

from __future__ import annotations

from api.builtin import PODS
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin

_MIRROR = "kubernetes.io/config.mirror"


class ServiceAccount(Plugin):
    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is PODS and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        pod = attempt.new()
        if _MIRROR in (pod["metadata"].get("annotations") or {}):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
