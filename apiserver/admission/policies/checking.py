"""What the expressions of a ValidatingAdmissionPolicy get wrong about the kinds it is for: its status.typeChecking.

It changes nothing about what the policy does. Every server keeps the statuses, with optimistic writes.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from api.builtin import VALIDATING_ADMISSION_POLICIES
from api.cel.admission import Expression, composed, declared
from api.cel.kinds import type_of
from api.cel.types import Type
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver import managing
from apiserver.context import Context
from apiserver.endpoints import SELF
from apiserver.follow import follow
from apiserver.routes.update import change

_MOST_KINDS = 10
_PERIOD = 300.0


async def run(context: Context) -> None:
    """Until cancelled."""

    async def look() -> float:
        for stored in (await context.store.list(VALIDATING_ADMISSION_POLICIES, resource_version="0")).items:
            policy = stored.obj()
            generation = policy["metadata"].get("generation", 0)
            if (policy.get("status") or {}).get("observedGeneration", 0) < generation:
                status = _status(generation, warnings(policy["spec"], context.registry))
                await _write(context, stored.name, generation, status)
        return _PERIOD

    await follow(context.store, (VALIDATING_ADMISSION_POLICIES,), look)


def _status(generation: int, found: list[Obj]) -> Obj:
    return {"observedGeneration": generation, "typeChecking": {"expressionWarnings": found} if found else {}}


async def _write(context: Context, name: str, generation: int, status: Obj) -> None:
    def transform(policy: Obj) -> Obj:
        changed = policy["metadata"].get("generation") != generation  # then it is checked again
        return policy if changed else {**policy, "status": {**(policy.get("status") or {}), **status}}

    res = VALIDATING_ADMISSION_POLICIES
    track = managing.own(context, res)
    await change(context, SELF, res, "", name, transform, subresource="status", track=track)


def warnings(spec: Obj, registry: Registry) -> list[Obj]:
    """The ExpressionWarnings."""
    rows = {(row.group, row.version, row.kind): row for row in _rows(spec, registry)}
    known = [(row, type_) for _, row in sorted(rows.items()) if (type_ := type_of(row)) is not None]
    params = _params(spec, registry)
    found: list[Obj] = []
    for index, validation in enumerate(spec.get("validations") or []):
        for name in ("expression", "messageExpression"):
            if text := validation.get(name):
                wrong = [f"{_shown(row)}: {why}\n" for row, type_ in known if (why := _why(spec, text, type_, params))]
                if wrong:
                    at = f"spec.validations[{index}].{name}"
                    found.append({"fieldRef": at, "warning": "\n".join(wrong)})
    return found


def _why(spec: Obj, text: str, type_: Type, params: Type | None) -> str:
    """What is wrong with an expression about such objects; "" when nothing is."""
    scope = declared(params=params is not None) | {"object": type_, "oldObject": type_}
    if params is not None:
        scope["params"] = params
    _, whole = composed(spec.get("variables"), scope)
    return Expression(text, whole).problem.removeprefix("compilation failed: ")


def _shown(row: Resource) -> str:
    return f"{row.group}/{row.version}, Kind={row.kind}"


def _params(spec: Obj, registry: Registry) -> Type | None:
    row = registry.of(spec.get("paramKind") or {})
    return type_of(row) if row is not None else None


def _rows(spec: Obj, registry: Registry) -> Iterator[Resource]:
    """The kinds that the rules name without a wildcard, the first few of each rule."""
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or []:
        groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
        resources = [name for name in rule.get("resources") or [] if "*" not in name and "/" not in name]
        if "*" in groups or "*" in versions:
            continue
        named = (registry.by_plural(*one) for one in product(sorted(groups), sorted(versions), sorted(resources)))
        yield from [row for row in named if row is not None][:_MOST_KINDS]
