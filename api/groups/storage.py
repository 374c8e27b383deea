"""The rows of storage.k8s.io/v1."""

from __future__ import annotations

from api.kinds import storage
from api.registry import Resource

_GROUP = "storage.k8s.io"

CSI_DRIVERS = Resource(_GROUP, "v1", "CSIDriver", "csidrivers", "csidriver", False, hooks=storage.CSI_DRIVER)
CSI_NODES = Resource(_GROUP, "v1", "CSINode", "csinodes", "csinode", False, hooks=storage.CSI_NODE)
CSI_STORAGE_CAPACITIES = Resource(
    _GROUP,
    "v1",
    "CSIStorageCapacity",
    "csistoragecapacities",
    "csistoragecapacity",
    True,
    hooks=storage.CSI_STORAGE_CAPACITY,
)
STORAGE_CLASSES = Resource(
    _GROUP, "v1", "StorageClass", "storageclasses", "storageclass", False, ("sc",), hooks=storage.STORAGE_CLASS
)
VOLUME_ATTACHMENTS = Resource(
    _GROUP,
    "v1",
    "VolumeAttachment",
    "volumeattachments",
    "volumeattachment",
    False,
    subresources=("status",),
    hooks=storage.VOLUME_ATTACHMENT,
)
VOLUME_ATTRIBUTES_CLASSES = Resource(
    _GROUP,
    "v1",
    "VolumeAttributesClass",
    "volumeattributesclasses",
    "volumeattributesclass",
    False,
    ("vac",),
    hooks=storage.VOLUME_ATTRIBUTES_CLASS,
)

ROWS = (
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
    VOLUME_ATTRIBUTES_CLASSES,
)
