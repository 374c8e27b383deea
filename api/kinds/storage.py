"""The kinds of storage.k8s.io: defaults, validation, columns."""

from __future__ import annotations

from collections.abc import Callable

from api import meta
from api.columns import AGE, Cell, at, count, joined, tabled
from api.meta import Obj
from api.registry import Hooks


def _named(*defaults: str) -> Cell:
    """The name, told apart when one of these annotations makes it the default."""

    def name(obj: Obj) -> str:
        marked = any(meta.annotations(obj).get(key) == "true" for key in defaults)
        return meta.name(obj) + (" (default)" if marked else "")

    return Cell("Name", name, format="name")


def _audiences(driver: Obj) -> str:
    return ",".join(t.get("audience", "") for t in driver["spec"].get("tokenRequests") or []) or "<unset>"


def _flag(name: str, *, absent: bool = False) -> Callable[[Obj], bool]:
    return at("spec", name, absent=absent)


STORAGE_CLASS = tabled(
    Hooks(),
    _named("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
    Cell("Provisioner", at("provisioner")),
    Cell("ReclaimPolicy", at("reclaimPolicy", absent="Delete")),
    Cell("VolumeBindingMode", at("volumeBindingMode", absent="Immediate")),
    Cell("AllowVolumeExpansion", at("allowVolumeExpansion", absent=False)),
    AGE,
)
VOLUME_ATTACHMENT = tabled(
    Hooks(),
    Cell("Attacher", at("spec", "attacher"), format="name"),
    Cell("PV", at("spec", "source", "persistentVolumeName")),
    Cell("Node", at("spec", "nodeName")),
    Cell("Attached", at("status", "attached", absent=False), "boolean"),
    AGE,
)
CSI_DRIVER = tabled(
    Hooks(),
    Cell("AttachRequired", _flag("attachRequired", absent=True), "boolean"),
    Cell("PodInfoOnMount", _flag("podInfoOnMount"), "boolean"),
    Cell("StorageCapacity", _flag("storageCapacity"), "boolean"),
    Cell("TokenRequests", _audiences),
    Cell("RequiresRepublish", _flag("requiresRepublish"), "boolean"),
    Cell("Modes", joined("spec", "volumeLifecycleModes")),
    AGE,
)
CSI_NODE = tabled(Hooks(), Cell("Drivers", count("spec", "drivers"), "integer"), AGE)
CSI_STORAGE_CAPACITY = tabled(
    Hooks(), Cell("StorageClassName", at("storageClassName")), Cell("Capacity", at("capacity", absent="<unset>"))
)
VOLUME_ATTRIBUTES_CLASS = tabled(
    Hooks(),
    _named("storageclass.kubernetes.io/is-default-class"),
    Cell("DriverName", at("driverName")),
    AGE,
)
