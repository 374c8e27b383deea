"""The rows of policy/v1."""

from __future__ import annotations

from api.kinds import disruption_budget
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
    hooks=disruption_budget.HOOKS,
)

ROWS = (DISRUPTION_BUDGETS,)
