"""The rows of autoscaling: v2 is stored, v1 is its older form."""

from __future__ import annotations

from dataclasses import replace

from api.kinds import autoscaler
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
    hooks=autoscaler.HOOKS,
)
AUTOSCALERS_V1 = replace(AUTOSCALERS, version="v1", hooks=autoscaler.V1, stored_as=AUTOSCALERS)

ROWS = (AUTOSCALERS, AUTOSCALERS_V1)
