"""Storage objects stay as long as they are in use: a claim while a scheduled pod mounts it, a volume while it is bound,
a class of attributes while a claim or volume has it. A finalizer holds them; the apiserver adds it
(apiserver/admission/storage.py), this loop adds it to those that came before, and takes it away when one that is being
deleted is used by nobody, which the server is asked once more: our cache may be behind.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection ; KEP-3751 for classes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from api import meta
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES
from api.meta import Obj
from api.registry import Resource
from client.reconciler import Reconciler
from controller import pod_state
from controller.context import Context

Names = Callable[[Obj], list[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    row: Resource
    finalizer: str
    names: Names = lambda obj: [meta.key(obj)]
    """What those that use an object call it."""
    users: tuple[tuple[Resource, Names], ...] = ()
    """Who may use one, and what each uses."""
    busy: Callable[[Obj], bool] = lambda obj: False
    """Whether it says by itself that it is in use."""


# --- who uses what -----------------------------------------------------------------------------------------


def _claim_names(claim: Obj) -> list[str]:
    """Its key and, when it was made for a pod, its key for that pod."""
    owner = meta.controller_of(claim)
    return [meta.key(claim)] + ([f"{meta.key(claim)}@{owner['uid']}"] if owner else [])


def _claims_of(pod: Obj) -> list[str]:
    """Only of a scheduled pod: no kubelet starts one whose claim is going. A pod that is shut down lets go of the
    claims that were made for it, so that these can go before it."""
    if not pod_state.node_name(pod):
        return []
    metadata, found = pod["metadata"], []
    is_shut_down = meta.is_deleting(pod) and metadata.get("deletionGracePeriodSeconds") == 0
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(f"{metadata['namespace']}/{volume['persistentVolumeClaim']['claimName']}")
        elif volume.get("ephemeral") and not is_shut_down:
            found.append(f"{metadata['namespace']}/{metadata['name']}-{volume['name']}@{metadata['uid']}")
    return found


def _class_of_volume(volume: Obj) -> list[str]:
    return [name for name in [volume["spec"].get("volumeAttributesClassName")] if name]


def _classes_of_claim(claim: Obj) -> list[str]:
    status = claim.get("status") or {}
    names = (
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return [name for name in dict.fromkeys(names) if name]


_CLAIMS = Kind(PERSISTENT_VOLUME_CLAIMS, "kubernetes.io/pvc-protection", _claim_names, ((PODS, _claims_of),))
_VOLUMES = Kind(
    PERSISTENT_VOLUMES,
    "kubernetes.io/pv-protection",
    busy=lambda volume: (volume.get("status") or {}).get("phase") == "Bound",
)
_CLASSES = Kind(
    VOLUME_ATTRIBUTES_CLASSES,
    "kubernetes.io/vac-protection",
    users=((PERSISTENT_VOLUMES, _class_of_volume), (PERSISTENT_VOLUME_CLAIMS, _classes_of_claim)),
)


# --- the loop ----------------------------------------------------------------------------------------------


class ProtectionLoop:
    def __init__(self, context: Context, kind: Kind) -> None:
        self._client, self._kind = context.client, kind
        self._objects = context.informer(kind.row)
        self._work = Reconciler(f"protection/{kind.row.plural}", self._reconcile, clock=context.clock)
        self._index = f"uses/{kind.row.plural}"
        self._objects.on_event(self._on_object)
        self._users = [context.informer(row) for row, _ in kind.users]
        for informer, (_, used_by) in zip(self._users, kind.users, strict=True):
            informer.add_indexer(self._index, used_by)
            informer.on_event(partial(self._on_user, used_by))

    async def run(self) -> None:
        await self._work.run()

    def _on_object(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None and meta.is_deleting(new) is self._is_held(new):
            self._work.queue.add(meta.key(new))

    def _on_user(self, names: Names, _: str, old: Obj | None, new: Obj | None) -> None:
        """Whoever is let go of may go now."""
        for name in set(names(old) if old else ()).difference(names(new) if new else ()):
            self._work.queue.add(name.partition("@")[0])

    def _is_held(self, obj: Obj) -> bool:
        return self._kind.finalizer in (obj["metadata"].get("finalizers") or ())

    async def _reconcile(self, key: str) -> float | None:
        obj = self._objects.store.get(key)
        if obj is None or meta.is_deleting(obj) is not self._is_held(obj):
            return None
        finalizers = obj["metadata"].get("finalizers") or []
        if not meta.is_deleting(obj):
            finalizers = [*finalizers, self._kind.finalizer]
        elif self._kind.busy(obj) or self._is_used(obj) or await self._is_really_used(obj):
            return None
        else:
            finalizers = [name for name in finalizers if name != self._kind.finalizer]
        await self._client.update(self._kind.row, {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})
        return None

    def _is_used(self, obj: Obj) -> bool:
        names = self._kind.names(obj)
        return any(user.store.by_index(self._index, name) for user in self._users for name in names)

    async def _is_really_used(self, obj: Obj) -> bool:
        names = set(self._kind.names(obj))
        for row, used_by in self._kind.users:
            found = await self._client.list(row, meta.namespace(obj) if self._kind.row.namespaced else "")
            if any(names & set(used_by(user)) for user in found["items"]):
                return True
        return False


def of_claims(context: Context) -> ProtectionLoop:
    return ProtectionLoop(context, _CLAIMS)


def of_volumes(context: Context) -> ProtectionLoop:
    return ProtectionLoop(context, _VOLUMES)


def of_attributes_classes(context: Context) -> ProtectionLoop:
    return ProtectionLoop(context, _CLASSES)
