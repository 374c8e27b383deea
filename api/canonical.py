"""Quantities in their canonical form, wherever a kind has one: `1000m` is stored and shown as `1`, `0.5` as `500m`.

Where they stand is read from the kind's schema, once. Upstream does this by decoding into typed objects.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from api import quantities, schemas
from api.meta import Obj
from api.registry import Resource

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"


class _Leaf:
    """Here stands a quantity."""


_LEAF = _Leaf()
_Plan = Any  # None: nothing to do below; _LEAF; {name: plan}; [plan of every item]; (plan of every value,)


@lru_cache(maxsize=256)
def _plan_of(name: str, above: frozenset[str] = frozenset()) -> _Plan:
    """The plan of a definition; one that contains itself has no quantities."""
    if name == _QUANTITY:
        return _LEAF
    if name in above:
        return None
    return _plan(schemas.definitions().get(name) or {}, above | {name})


def _plan(schema: Obj, above: frozenset[str]) -> _Plan:
    if "$ref" in schema:
        return _plan_of(schema["$ref"].rpartition("/")[2], above)
    found = {name: plan for name, inner in (schema.get("properties") or {}).items() if (plan := _plan(inner, above))}
    if found:
        return found
    if isinstance(schema.get("items"), dict):
        item = _plan(schema["items"], above)
        return [item] if item else None
    values = schema.get("additionalProperties")
    value = _plan(values, above) if isinstance(values, dict) else None
    return (value,) if value else None


def quantities_of(resource: Resource, obj: Obj) -> None:
    """Rewrite the quantities of `obj`. ValueError when one is malformed."""
    plan = _plan_of(schemas.definition_name(resource))
    if plan:
        _walk(plan, obj)


def _walk(plan: _Plan, at: Any) -> None:
    if isinstance(at, list):
        if isinstance(plan, list):
            for item in at:
                _walk(plan[0], item)
    elif isinstance(at, dict) and not isinstance(plan, list):
        of_all = plan[0] if isinstance(plan, tuple) else None
        for key, value in at.items():
            inner = of_all or plan.get(key)
            if inner is _LEAF:
                at[key] = _canonical(value)
            elif inner is not None:
                _walk(inner, value)


def _canonical(value: Any) -> Any:
    known = isinstance(value, str | int | float) and not isinstance(value, bool)
    return quantities.canonical(value) if known else value
