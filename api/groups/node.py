"""The row of node.k8s.io/v1."""

from __future__ import annotations

from api.kinds import scheduling
from api.registry import Resource

RUNTIME_CLASSES = Resource(
    "node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass", False, hooks=scheduling.RUNTIME_CLASS
)

ROWS = (RUNTIME_CLASSES,)
