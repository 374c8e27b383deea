"""FlowSchema and PriorityLevelConfiguration: defaults, validation, columns."""

from __future__ import annotations

from api import meta
from api.columns import AGE, Cell, at, tabled
from api.meta import Obj
from api.registry import Hooks


def _dangling(schema: Obj) -> str:
    return str((meta.get_condition(schema, "Dangling") or {}).get("status", "?"))


def _queuing(name: str) -> Cell:
    value = at("spec", "limited", "limitResponse", "queuing", name, absent="<none>")
    return Cell(name[0].upper() + name[1:], value)


FLOW_SCHEMA = tabled(
    Hooks(),
    Cell("PriorityLevel", at("spec", "priorityLevelConfiguration", "name")),
    Cell("MatchingPrecedence", at("spec", "matchingPrecedence")),
    Cell("DistinguisherMethod", at("spec", "distinguisherMethod", "type", absent="<none>")),
    AGE,
    Cell("MissingPL", _dangling),
)
PRIORITY_LEVEL = tabled(
    Hooks(),
    Cell("Type", at("spec", "type")),
    Cell("NominalConcurrencyShares", at("spec", "limited", "nominalConcurrencyShares", absent="<none>")),
    _queuing("queues"),
    _queuing("handSize"),
    _queuing("queueLengthLimit"),
    AGE,
)
