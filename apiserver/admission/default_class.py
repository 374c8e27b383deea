"""DefaultIngressClass and DefaultStorageClass: an Ingress or a claim that names no class gets the one that is marked as
the default; of several, the newest.

https://kubernetes.io/docs/concepts/services-networking/ingress/#default-ingress-class and
https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass
"""

from __future__ import annotations

from api import meta
from api.builtin import INGRESS_CLASSES, INGRESSES, PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store


class _DefaultClass(Plugin):
    row: Resource
    classes: Resource
    field: str
    of_old: str
    """The annotation that once named the class."""
    marks: tuple[str, ...]
    """Annotations that make a class the default."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read_at = -1
        self._default = ""

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res is self.row and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        obj = attempt.new()
        spec = obj.setdefault("spec", {})
        if spec.get(self.field) is None and self.of_old not in meta.annotations(obj):
            name = await self._newest()
            if name:
                spec[self.field] = name

    async def _newest(self) -> str:
        """Read again only when a class has changed."""
        changed = self._store.changed_at(self.classes)
        if changed != self._read_at:
            page = await self._store.list(self.classes, resource_version="0")
            found = [
                class_
                for class_ in (stored.obj() for stored in page.items)
                if any(meta.annotations(class_).get(mark) == "true" for mark in self.marks)
            ]
            found.sort(key=meta.name)
            newest = max(found, key=lambda class_: str(class_["metadata"].get("creationTimestamp")), default=None)
            self._default, self._read_at = meta.name(newest) if newest else "", changed
        return self._default


class DefaultIngressClass(_DefaultClass):
    name = "DefaultIngressClass"
    row, classes, field = INGRESSES, INGRESS_CLASSES, "ingressClassName"
    of_old = "kubernetes.io/ingress.class"
    marks = ("ingressclass.kubernetes.io/is-default-class",)


class DefaultStorageClass(_DefaultClass):
    name = "DefaultStorageClass"
    row, classes, field = PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES, "storageClassName"
    of_old = "volume.beta.kubernetes.io/storage-class"
    marks = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
