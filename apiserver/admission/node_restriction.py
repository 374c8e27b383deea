"""NodeRestriction: a node writes its own Node, its own Lease, and the pods bound to it. Nothing else.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from __future__ import annotations

from api.builtin import LEASES, NODES, PODS, SERVICE_ACCOUNTS
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store

_RESTRICTED = ("node-restriction.kubernetes.io/",)


class NodeRestriction(Plugin):
    name = "NodeRestriction"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res in (NODES, LEASES, PODS, SERVICE_ACCOUNTS)

    async def validate(self, attempt: Attempt) -> None:
        if "system:nodes" not in attempt.user.groups:
            return
        node = attempt.user.node
        if not node:
            raise attempt.forbidden(f'could not determine node from user "{attempt.user.name}"')
        if attempt.res is NODES:
            _check_node(attempt, node)
        elif attempt.res is LEASES:
            if attempt.name != node:
                raise attempt.forbidden("can only access node lease with the same name as the requesting node")
        elif attempt.res is PODS:
            _check_pod(attempt, node)
        elif attempt.subresource == "token":
            await self._check_token(attempt, node)

    async def _check_token(self, attempt: Attempt, node: str) -> None:
        """A node gets tokens for the pods bound to it alone."""
        bound = (attempt.new().get("spec") or {}).get("boundObjectRef") or {}
        if bound.get("kind") != "Pod" or not bound.get("uid"):
            raise attempt.forbidden("node requested token not bound to a pod")
        pod = await self._store.get(PODS, attempt.namespace, str(bound.get("name", "")))
        if pod.fields.get("spec.nodeName") != node:
            raise attempt.forbidden("node requested token bound to a pod scheduled on a different node")


def _check_node(attempt: Attempt, node: str) -> None:
    if attempt.name != node:
        raise attempt.forbidden(f'node "{node}" is not allowed to modify node "{attempt.name}"')
    if attempt.obj is None:
        return
    new = attempt.new()
    old = attempt.old or {"metadata": {}, "spec": {}}
    changed = {k for k in {*_labels(new), *_labels(old)} if _labels(new).get(k) != _labels(old).get(k)}
    forbidden = sorted(k for k in changed if k.startswith(_RESTRICTED))
    if forbidden:
        raise attempt.forbidden(f"is not allowed to modify labels: {', '.join(forbidden)}")
    if attempt.old is not None and (new.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
        raise attempt.forbidden(f'node "{node}" is not allowed to modify taints')


def _labels(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _check_pod(attempt: Attempt, node: str) -> None:
    if attempt.verb == "create" and not attempt.subresource:
        raise attempt.forbidden(f'pod does not have "kubernetes.io/config.mirror" annotation, node "{node}" can '
                                "only create mirror pods")  # fmt: skip
    if attempt.old is not None and (attempt.old.get("spec") or {}).get("nodeName") != node:
        verb = {"delete": "delete", "create": "evict"}.get(attempt.verb, "update status for")
        raise attempt.forbidden(f'node "{node}" can only {verb} pods with spec.nodeName set to itself')
    if attempt.subresource == "status" and attempt.old and _labels(attempt.new()) != _labels(attempt.old):
        raise attempt.forbidden(f'node "{node}" cannot update labels through pod status')
