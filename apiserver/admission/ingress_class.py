"""DefaultIngressClass: an Ingress that names no class gets the one that is marked as the default.

https://kubernetes.io/docs/concepts/services-networking/ingress/#default-ingress-class
"""

from __future__ import annotations

from api import meta
from api.builtin import INGRESS_CLASSES, INGRESSES
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_OF_OLD = "kubernetes.io/ingress.class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is INGRESSES and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        ingress = attempt.new()
        spec = ingress.setdefault("spec", {})
        if spec.get("ingressClassName") is not None or _OF_OLD in meta.annotations(ingress):
            return
        page = await self._store.list(INGRESS_CLASSES, resource_version="0")
        defaults = [c for c in (stored.obj() for stored in page.items) if meta.annotations(c).get(_DEFAULT) == "true"]
        if defaults:  # of several, the newest
            defaults.sort(key=meta.name)
            newest = max(defaults, key=lambda c: str(c["metadata"].get("creationTimestamp")))
            spec["ingressClassName"] = meta.name(newest)
