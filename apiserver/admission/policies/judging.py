"""What a ValidatingAdmissionPolicy says of one request with one parameter (pure).

Rules and wording: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ and
k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from api.cel.admission import (
    POLICY_BUDGET,
    Conditions,
    Expression,
    Failed,
    OutOfBudget,
    Scope,
    Values,
    Variables,
    composed,
    declared,
)
from api.cel.program import Budget
from api.cel.types import Type
from api.cel.values import type_name
from api.meta import Obj

_LONGEST_MESSAGE = 5 * 1024
_LONGEST_ANNOTATION = 10 * 1024


class Refusal(NamedTuple):
    position: int
    """Of the validation."""
    message: str
    reason: str = ""
    error: str = "no_error"


@dataclass(slots=True)
class Judgement:
    refusals: list[Refusal] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """The types of the errors that refuse nothing, as the failurePolicy says."""
    annotations: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """Why some annotations cannot be made, where that refuses the request whatever the binding's actions are."""


class Scoped:
    """What the expressions of a policy have in common: their variables and the conditions under which they count."""

    def __init__(self, spec: Obj) -> None:
        own = declared(params=bool(spec.get("paramKind")))
        self._variables, self.scope = composed(spec.get("variables"), own)
        self._conditions = Conditions(spec.get("matchConditions"), own)
        self._expressions: list[Expression] = []

    def compiled(self, text: str, scope: Scope, types: Mapping[str, Type] | None = None) -> Expression:
        made = Expression(text, scope, types)
        self._expressions.append(made)
        return made

    @cached_property
    def uses_namespace(self) -> bool:
        """Whether some expression asks for it."""
        everything = (*self._expressions, *self._variables.values(), *self._conditions)
        return any("namespaceObject" in e.program.uses for e in everything if e.program is not None)

    def concerns(self, values: Values) -> bool:
        """Whether the conditions let the policy see this request. Failed when that cannot be told."""
        return self._conditions.met(values)

    def composing(self, values: Values, budget: Budget) -> Values:
        """`values` with the variables of the policy."""
        return {**values, "variables": Variables(self._variables, values, budget)}


class _Validation:
    def __init__(self, rule: Obj, scoped: Scoped) -> None:
        scope = scoped.scope
        self.rule = rule
        self.expression = scoped.compiled(rule["expression"], scope)
        said = {name: type_ for name, type_ in scope.items() if name != "authorizer"}
        text = rule.get("messageExpression")
        self.message = scoped.compiled(text, said) if text else None

    def refusal(self, index: int, values: Values, budget: Budget) -> Refusal:
        reason = self.rule.get("reason") or "Invalid"
        if self.message is not None:
            try:
                text = self.message.evaluate(values, budget)
            except OutOfBudget as error:
                return Refusal(index, f"failed messageExpression: {error}", error=error.type)
            except Failed:
                text = None  # the documented way out: a message is never the reason that a request passes or fails
            text = text.strip() if isinstance(text, str) else ""
            if text and "\n" not in text and len(text.encode()) <= _LONGEST_MESSAGE:
                return Refusal(index, text, reason)
        said = (self.rule.get("message") or "").strip()
        return Refusal(index, said or f"failed expression: {self.rule['expression'].strip()}", reason)


class Judge(Scoped):
    """A policy's spec, compiled."""

    def __init__(self, spec: Obj) -> None:
        super().__init__(spec)
        self._fails = spec.get("failurePolicy") != "Ignore"
        self._validations = [_Validation(rule, self) for rule in spec.get("validations") or ()]
        self._annotations = [
            (annotation["key"], self.compiled(annotation["valueExpression"], self.scope))
            for annotation in spec.get("auditAnnotations") or ()
        ]

    def judge(self, values: Values) -> Judgement:
        try:
            if not self.concerns(values):
                return Judgement()
            return self._judged(values)
        except Failed as error:
            judgement = Judgement()
            self._fail(judgement, 0, error)
            return judgement

    def _fail(self, judgement: Judgement, index: int, error: Failed) -> None:
        if self._fails:
            judgement.refusals.append(Refusal(index, str(error), error=error.type))
        else:
            judgement.ignored.append(error.type)

    def _judged(self, given: Values) -> Judgement:
        judgement, budget = Judgement(), Budget(POLICY_BUDGET)
        values = self.composing(given, budget)
        for index, validation in enumerate(self._validations):
            try:
                if validation.expression.evaluate(values, budget) is not True:
                    judgement.refusals.append(validation.refusal(index, values, budget))
            except OutOfBudget:
                raise
            except Failed as error:
                self._fail(judgement, index, error)
        if self._annotations:
            self._annotate(judgement, given)
        return judgement

    def _annotate(self, judgement: Judgement, given: Values) -> None:
        budget = Budget(POLICY_BUDGET)
        values = self.composing(given, budget)
        for key, expression in self._annotations:
            try:
                value = expression.evaluate(values, budget)
            except OutOfBudget:
                raise
            except Failed as error:
                if self._fails:
                    judgement.broken.append(str(error))
                continue
            if isinstance(value, str):
                if text := value.strip():
                    judgement.annotations.append((key, _cut(text)))
            elif value is not None:
                judgement.broken.append(
                    f"valueExpression '{expression.source}' resulted in unsupported return type: {type_name(value)}. "
                    "Return type must be either string or null."
                )


def _cut(text: str) -> str:
    return text.encode()[:_LONGEST_ANNOTATION].decode(errors="ignore")
