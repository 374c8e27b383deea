"""PriorityClass and RuntimeClass: defaults, validation, columns."""

from __future__ import annotations

from api.columns import AGE, Cell, at, tabled
from api.registry import Hooks

PRIORITY_CLASS = tabled(
    Hooks(),
    Cell("Value", at("value", absent=0), "integer"),
    Cell("Global-Default", at("globalDefault", absent=False), "boolean"),
    AGE,
    Cell("PreemptionPolicy", at("preemptionPolicy")),
)
RUNTIME_CLASS = tabled(Hooks(), Cell("Handler", at("handler")), AGE)
