"""The row of scheduling.k8s.io/v1."""

from __future__ import annotations

from api.kinds import scheduling
from api.registry import Resource

PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io",
    "v1",
    "PriorityClass",
    "priorityclasses",
    "priorityclass",
    False,
    ("pc",),
    hooks=scheduling.PRIORITY_CLASS,
)

ROWS = (PRIORITY_CLASSES,)
