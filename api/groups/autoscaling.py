"""The rows of autoscaling/v2 and v1."""

from __future__ import annotations

from api.registry import Resource

AUTOSCALERS = Resource(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "horizontalpodautoscaler",
    True,
    ("hpa",),
    ("all",),
    subresources=("status",),
)

ROWS = (AUTOSCALERS,)
