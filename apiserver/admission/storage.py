"""StorageObjectInUseProtection: volumes, claims and classes of attributes get a finalizer that holds them while they
are in use; controller/protection.py takes it away. PersistentVolumeClaimResize: only a bound claim grows, and only
where its class allows it.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection and
#expanding-persistent-volumes-claims ; texts as in
k8s.io/kubernetes/plugin/pkg/admission/storage/persistentvolume/resize
"""

from __future__ import annotations

from api import meta
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, VOLUME_ATTRIBUTES_CLASSES
from api.meta import Obj
from api.quantities import parse
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.storage.store import Store

_FINALIZERS = {
    PERSISTENT_VOLUMES.qualified: "kubernetes.io/pv-protection",
    PERSISTENT_VOLUME_CLAIMS.qualified: "kubernetes.io/pvc-protection",
    VOLUME_ATTRIBUTES_CLASSES.qualified: "kubernetes.io/vac-protection",
}
_CLASS_OF_OLD = "volume.beta.kubernetes.io/storage-class"


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "create" and res.qualified in _FINALIZERS and not subresource

    async def mutate(self, attempt: Attempt) -> None:
        metadata, finalizer = attempt.new()["metadata"], _FINALIZERS[attempt.res.qualified]
        present = metadata.get("finalizers") or []
        if finalizer not in present:
            metadata["finalizers"] = [*present, finalizer]


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return verb == "update" and res is PERSISTENT_VOLUME_CLAIMS and not subresource

    async def validate(self, attempt: Attempt) -> None:
        new, old = attempt.new(), attempt.old or {}
        if parse(_size(new)) <= parse(_size(old)):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise attempt.forbidden("Only bound persistent volume claims can be expanded")
        if not self._allows(_class(new), _class(old)):
            raise attempt.forbidden(
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )

    def _allows(self, name: str, before: str) -> bool:
        found = self._store.peek(STORAGE_CLASSES, "", name) if name and name == before else None
        return found is not None and found.obj().get("allowVolumeExpansion") is True


def _size(claim: Obj) -> str:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return str(requests.get("storage") or "0")


def _class(claim: Obj) -> str:
    return str(meta.annotations(claim).get(_CLASS_OF_OLD) or claim["spec"].get("storageClassName") or "")
