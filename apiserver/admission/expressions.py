"""The CEL expressions of webhook configurations and admission policies compile and are of the type they must be.

Wording follows k8s.io/apiserver/pkg/admission/plugin/cel. One that stood there before is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from api.builtin import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from api.cel.admission import Expression, Scope, composed, declared
from api.cel.patches import JSON_PATCHES, OBJECT, TYPES
from api.cel.types import BOOL, NULL, STRING, Type
from api.errors import FieldError, invalid, invalid_object
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin

_ROWS = (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
_PATCHES = (("applyConfiguration", OBJECT), ("jsonPatch", JSON_PATCHES))


class Given(NamedTuple):
    field: str
    expression: Expression
    wanted: tuple[Type, ...] = ()
    """The types it may have; empty: any."""


class Expressions(Plugin):
    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res in _ROWS and verb in ("create", "update") and not subresource

    async def validate(self, attempt: Attempt) -> None:
        known = {given.expression.source for given in expressions(attempt.old)} if attempt.old is not None else set()
        errors = [
            e for given in expressions(attempt.new()) if given.expression.source not in known for e in wrong(given)
        ]
        if errors:
            raise invalid_object(attempt.res.group, attempt.res.kind, attempt.name, errors)


def expressions(obj: Obj) -> Iterator[Given]:
    for index, webhook in enumerate(obj.get("webhooks") or []):
        yield from _of(webhook.get("matchConditions"), f"webhooks[{index}].matchConditions", declared(), BOOL)
    spec = obj.get("spec") or {}
    own = declared(params=bool(spec.get("paramKind")))
    yield from _of(spec.get("matchConditions"), "spec.matchConditions", own, BOOL)
    variables, scope = composed([v for v in spec.get("variables") or [] if v.get("name") and v.get("expression")], own)
    for index, variable in enumerate(variables.values()):
        yield Given(f"spec.variables[{index}].expression", variable)
    validations, at = spec.get("validations"), "spec.validations"
    yield from _of(validations, at, scope, BOOL)
    said = {name: type_ for name, type_ in scope.items() if name != "authorizer"}
    yield from _of(validations, at, said, STRING, name="messageExpression")
    yield from _of(spec.get("auditAnnotations"), "spec.auditAnnotations", scope, STRING, NULL, name="valueExpression")
    for index, mutation in enumerate(spec.get("mutations") or []):
        for name, type_ in _PATCHES:
            if text := (mutation.get(name) or {}).get("expression"):
                yield Given(f"spec.mutations[{index}].{name}.expression", Expression(text, scope, TYPES), (type_,))


def _of(
    items: Iterable[Obj] | None, field: str, scope: Scope, *wanted: Type, name: str = "expression"
) -> Iterator[Given]:
    for index, item in enumerate(items or []):
        if item.get(name):
            yield Given(f"{field}[{index}].{name}", Expression(item[name], scope), wanted)


def wrong(given: Given) -> list[FieldError]:
    field, expression, wanted = given
    if expression.problem:
        return [invalid(field, expression.source, expression.problem)]
    if not wanted or expression.type in wanted:
        return []
    names = " ".join(type_.name for type_ in wanted)
    either = f"must evaluate to one of [{names}]" if len(wanted) > 1 else f"must evaluate to {wanted[0]}"
    return [invalid(field, expression.source, f"{either} but got {expression.type}")]
