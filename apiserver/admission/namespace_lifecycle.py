"""NamespaceLifecycle: nothing is created in a namespace that is not there or is on its way out, and the
namespaces the cluster needs are not deleted."""

from __future__ import annotations

from api.builtin import NAMESPACES
from api.errors import NotFound
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store
from apiserver.storage.stored import Stored

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        if res.group == "authorization.k8s.io":
            return False  # to say that a namespace is not there would be telling
        return (verb == "create" and res.namespaced) or (verb == "delete" and res.plural == "namespaces")

    async def mutate(self, attempt: Attempt) -> None:
        if attempt.verb == "delete":
            if attempt.res is NAMESPACES and attempt.name in IMMORTAL:
                raise attempt.forbidden("this namespace may not be deleted")
            return
        namespace = await self._namespace(attempt.namespace)
        if namespace.fields["status.phase"] == "Terminating":
            error = attempt.forbidden(
                f"unable to create new content in namespace {attempt.namespace} because it is being terminated"
            )
            error.details["causes"] = [
                {
                    "reason": "NamespaceTerminating",
                    "message": f"namespace {attempt.namespace} is being terminated",
                    "field": "metadata.namespace",
                }
            ]
            raise error

    async def _namespace(self, name: str) -> Stored:
        """From the cache; only a namespace that is not in it is asked for with a consistent read."""
        try:
            return await self._store.get(NAMESPACES, "", name, resource_version="0")
        except NotFound:
            return await self._store.get(NAMESPACES, "", name)
