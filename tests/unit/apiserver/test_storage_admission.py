"""DefaultStorageClass, StorageObjectInUseProtection and PersistentVolumeClaimResize, by
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ and the pages it links to."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    VOLUME_ATTRIBUTES_CLASSES,
)
from api.errors import Forbidden
from api.meta import Obj
from apiserver.admission.default_class import DefaultStorageClass
from apiserver.admission.storage import PersistentVolumeClaimResize, StorageObjectInUseProtection
from tests.unit.apiserver.admitting import Objects, admit

DEFAULT, OF_OLD = "storageclass.kubernetes.io/is-default-class", "volume.beta.kubernetes.io/storage-class"


def storage_class(name: str, mark: str = DEFAULT, day: int = 1, **more: Any) -> tuple[Any, Obj]:
    made = f"2026-01-{day:02}T00:00:00Z"
    annotations = {mark: "true"} if mark else {}
    return STORAGE_CLASSES, {"metadata": {"name": name, "annotations": annotations, "creationTimestamp": made}, **more}


def claim(size: str = "1Gi", phase: str = "Bound", annotations: Obj | None = None, **spec: Any) -> Obj:
    spec = {"resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": "x", "annotations": annotations or {}}, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("classes", "tried", "gets"),
    [
        ([], claim(), None),
        ([storage_class("slow", "")], claim(), None),
        ([storage_class("slow", ""), storage_class("fast")], claim(), "fast"),
        ([storage_class("fast", "storageclass.beta.kubernetes.io/is-default-class")], claim(), "fast"),
        ([storage_class("fast")], claim(storageClassName=""), ""),
        ([storage_class("fast")], claim(storageClassName="own"), "own"),
        ([storage_class("fast")], claim(annotations={OF_OLD: "own"}), None),
        ([storage_class("old"), storage_class("new", day=3), storage_class("mid", day=2)], claim(), "new"),
        ([storage_class("b"), storage_class("a")], claim(), "a"),
    ],
    ids=["no class", "no default", "default", "marked of old", "none wanted", "own", "own of old", "newest", "by name"],
)
async def test_default_storage_class(classes: list[Any], tried: Obj, gets: str | None) -> None:
    """https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass"""
    made = await admit(DefaultStorageClass(Objects(*classes).store), PERSISTENT_VOLUME_CLAIMS, tried)
    assert made["spec"].get("storageClassName") == gets


async def test_the_default_follows_its_classes() -> None:
    objects = Objects(storage_class("a"))
    step = DefaultStorageClass(objects.store)
    assert (await admit(step, PERSISTENT_VOLUME_CLAIMS, claim()))["spec"]["storageClassName"] == "a"
    objects.remove(STORAGE_CLASSES, "", "a")
    assert "storageClassName" not in (await admit(step, PERSISTENT_VOLUME_CLAIMS, claim()))["spec"]


@pytest.mark.parametrize(
    ("row", "kind"),
    [(PERSISTENT_VOLUME_CLAIMS, "pvc"), (PERSISTENT_VOLUMES, "pv"), (VOLUME_ATTRIBUTES_CLASSES, "vac")],
    ids=["claim", "volume", "attributes"],
)
async def test_what_is_made_is_held(row: Any, kind: str) -> None:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection"""
    finalizer = f"kubernetes.io/{kind}-protection"
    made = await admit(StorageObjectInUseProtection(), row, {"metadata": {"name": "x", "finalizers": ["a/b"]}})
    assert made["metadata"]["finalizers"] == ["a/b", finalizer]
    made = await admit(StorageObjectInUseProtection(), row, {"metadata": {"name": "x", "finalizers": [finalizer]}})
    assert made["metadata"]["finalizers"] == [finalizer]


NOT_BOUND = "Only bound persistent volume claims can be expanded"
NOT_ALLOWED = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
GROWS, STAYS = storage_class("grows", "", allowVolumeExpansion=True), storage_class("stays", "")


@pytest.mark.parametrize(
    ("new", "old", "why"),
    [
        (claim("2Gi", storageClassName="grows"), claim(storageClassName="grows"), ""),
        (claim("2Gi", annotations={OF_OLD: "grows"}), claim(annotations={OF_OLD: "grows"}), ""),
        (claim("1024Mi"), claim(phase="Pending"), ""),
        (claim("500Mi"), claim(), ""),
        (claim("2Gi", storageClassName="grows"), claim(phase="Pending", storageClassName="grows"), NOT_BOUND),
        (claim("2Gi", storageClassName="stays"), claim(storageClassName="stays"), NOT_ALLOWED),
        (claim("2Gi", storageClassName="gone"), claim(storageClassName="gone"), NOT_ALLOWED),
        (claim("2Gi", storageClassName="grows"), claim(storageClassName="stays"), NOT_ALLOWED),
        (claim("2Gi"), claim(), NOT_ALLOWED),
    ],
    ids=["grows", "class of old", "the same", "shrinks: not ours to judge", "not bound", "class does not allow it",
         "no such class", "another class", "no class"],
)  # fmt: skip
async def test_a_claim_grows_where_its_class_allows_it(new: Obj, old: Obj, why: str) -> None:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims"""
    step = PersistentVolumeClaimResize(Objects(GROWS, STAYS).store)
    if not why:
        await admit(step, PERSISTENT_VOLUME_CLAIMS, new, old)
        return
    with pytest.raises(Forbidden) as caught:
        await admit(step, PERSISTENT_VOLUME_CLAIMS, new, old)
    assert caught.value.message == f'persistentvolumeclaims "x" is forbidden: {why}'
