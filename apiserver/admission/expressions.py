"""The CEL expressions of webhook configurations and admission policies compile and are of the type they must be.

Wording follows k8s.io/apiserver/pkg/admission/plugin/cel. One that stood there before is not judged again. What an
authorizer can be asked is not known here, so that expressions with one are only parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from api.builtin import (
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from api.cel import syntax
from api.cel.program import CompileError, compile
from api.cel.types import BOOL, DYN, STRING, Type
from api.errors import FieldError, invalid, invalid_object
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin

_ROWS = (MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_ADMISSION_POLICIES, VALIDATING_WEBHOOK_CONFIGURATIONS)
_REQUEST = ("object", "oldObject", "request", "authorizer")
_POLICY = (*_REQUEST, "namespaceObject", "variables")

Expression = tuple[str, str, Type, tuple[str, ...]]
"""Its field, its text, the type it must have, the variables it may use."""


class Expressions(Plugin):
    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res in _ROWS and verb != "delete" and not subresource

    async def validate(self, attempt: Attempt) -> None:
        known = {text for _, text, _, _ in expressions(attempt.old)} if attempt.old is not None else set()
        errors = [e for x in expressions(attempt.new()) if x[1] not in known for e in compiled(*x)]
        if errors:
            raise invalid_object(attempt.res.group, attempt.res.kind, attempt.name, errors)


def expressions(obj: Obj) -> Iterator[Expression]:
    for index, webhook in enumerate(obj.get("webhooks") or []):
        yield from _of(webhook.get("matchConditions"), f"webhooks[{index}].matchConditions", BOOL, _REQUEST)
    spec = obj.get("spec") or {}
    params = ("params",) if spec.get("paramKind") else ()
    yield from _of(spec.get("matchConditions"), "spec.matchConditions", BOOL, (*_REQUEST, *params))
    variables = (*_POLICY, *params)
    yield from _of(spec.get("variables"), "spec.variables", DYN, variables)
    validations = spec.get("validations")
    yield from _of(validations, "spec.validations", BOOL, variables)
    yield from _of(validations, "spec.validations", STRING, variables, "messageExpression")
    yield from _of(spec.get("auditAnnotations"), "spec.auditAnnotations", DYN, variables, "valueExpression")


def _of(
    items: Iterable[Obj] | None, field: str, wanted: Type, variables: tuple[str, ...], name: str = "expression"
) -> Iterator[Expression]:
    for index, item in enumerate(items or []):
        if item.get(name):
            yield f"{field}[{index}].{name}", item[name], wanted, variables


def compiled(field: str, text: str, wanted: Type, variables: tuple[str, ...]) -> list[FieldError]:
    try:
        if "authorizer" in text:
            syntax.parse(text)
            return []
        found = compile(text, dict.fromkeys(variables, DYN)).type
    except CompileError as error:
        return [invalid(field, text, f"compilation failed: {error}")]
    if wanted is DYN or found in (wanted, DYN):
        return []
    return [invalid(field, text, f"must evaluate to {wanted}")]
