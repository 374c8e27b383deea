"""The rows of policy/v1."""

from __future__ import annotations

from api.registry import Resource

DISRUPTION_BUDGETS = Resource(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    "poddisruptionbudget",
    True,
    ("pdb",),
    subresources=("status",),
    has_generation=True,
)

ROWS = (DISRUPTION_BUDGETS,)
