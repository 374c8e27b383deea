"""x-kubernetes-validations: the CEL rules of a structural schema, run on objects.

A rule sees the value at its place in the schema as `self`, and, where it can be told which it was, the value
before as `oldSelf`. What did not change is not held against an update (ratcheting). Source:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
and, for messages, k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from api.cel.program import Budget, CostExceeded, EvaluationError, Program, compile
from api.cel.shapes import Schema, Shape, shape_of
from api.cel.types import optional_of
from api.cel.values import NONE, Optional, equal
from api.cel.where import RULES, field_path, has_rules
from api.errors import FieldError, duplicate, forbidden_field, invalid, required

OBJECT_BUDGET = 10_000_000
"""The work all rules of one object may do (k8s.io/apiserver/pkg/apis/cel, RuntimeCELCostBudget)."""
NOWHERE = "<nil>"
_LONGEST_MESSAGE = 5 * 1024


@dataclass(slots=True)
class Rule:
    given: Mapping[str, Any]
    program: Program
    message: Program | None
    path: str

    @property
    def is_transition(self) -> bool:
        return any("oldSelf" in p.uses for p in (self.program, self.message) if p is not None)

    @property
    def wants_optional(self) -> bool:
        return bool(self.given.get("optionalOldSelf"))

    @property
    def text(self) -> str:
        return str(self.given.get("message") or self.given["rule"]).strip()


@dataclass(slots=True)
class RuleSet:
    """The rules of one place in a schema and of all places below."""

    kind: str
    shape: Shape | None = None
    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, RuleSet] = field(default_factory=dict)
    extra: RuleSet | None = None
    items: RuleSet | None = None
    keys: tuple[str, ...] = ()
    """What tells the items of a list of type map apart; empty for other lists."""
    atomic: bool = False

    def validate(self, new: Any, old: Any, at: str = "") -> list[FieldError]:
        """What the rules have against `new`; `old` is None when there was nothing before."""
        run = _Run(Budget(OBJECT_BUDGET))
        with suppress(_Stop):  # what was found until then is in the list
            run.node(self, at, new, old, (new, old))
        return run.errors


def compile_rule(given: Mapping[str, Any], shape: Shape, schema: Schema) -> Rule:
    """CompileError when the rule, or its messageExpression, is not CEL or not of its type."""
    old = optional_of(shape.type) if given.get("optionalOldSelf") else shape.type
    variables = {"self": shape.type, "oldSelf": old}
    program = compile(given["rule"], variables)
    message = compile(given["messageExpression"], variables) if given.get("messageExpression") else None
    path = field_path(given["fieldPath"], schema) if given.get("fieldPath") else ""
    return Rule(given, program, message, path)


def compile_rules(schema: Schema, *, root: bool = True) -> RuleSet | None:
    """The rules of a stored schema; None when it has none. CompileError never, for what `check_rules` let pass."""
    return _compile(schema, root) if has_rules(schema) else None


def _compile(schema: Schema, root: bool) -> RuleSet:
    made = RuleSet(str(schema.get("type", "")), atomic=schema.get("x-kubernetes-map-type") == "atomic")
    if schema.get("x-kubernetes-list-type") == "map":
        made.keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    given = schema.get(RULES) or []
    made.shape = shape_of(schema, root=root) if given else None
    if made.shape is not None:
        made.rules = [compile_rule(rule, made.shape, schema) for rule in given]
    for name, child in (schema.get("properties") or {}).items():
        if has_rules(child):
            made.properties[name] = _compile(child, _embeds(child))
    for name, attribute in (("items", "items"), ("additionalProperties", "extra")):
        child = schema.get(name)
        if isinstance(child, Mapping) and has_rules(child):
            setattr(made, attribute, _compile(child, _embeds(child)))
    return made


def _embeds(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-embedded-resource"))


class _Stop(Exception):
    """No budget is left for further rules."""


_Pair = tuple[Any, Any]


@dataclass(slots=True)
class _Run:
    budget: Budget
    errors: list[FieldError] = field(default_factory=list)

    def node(self, rules: RuleSet, at: str, new: Any, old: Any, nearest: _Pair) -> None:
        """`nearest` is the closest value upwards, itself included, that can be compared with what it was."""
        if new is None:
            return
        for rule in rules.rules:
            self._rule(rules, rule, at, new, old, nearest)
        if isinstance(new, list) and rules.items is not None:
            before = (
                {_key(item, rules.keys): item for item in old or ()} if rules.keys and isinstance(old, list) else {}
            )
            for index, item in enumerate(new):
                was = before.get(_key(item, rules.keys)) if rules.keys else None
                self.node(rules.items, f"{at}[{index}]", item, was, (item, was) if was is not None else nearest)
        elif isinstance(new, dict):
            known = isinstance(old, dict) and not rules.atomic
            before = old if known else {}
            for name, item in new.items():
                below, path = rules.properties.get(name), f"{at}.{name}" if at else name
                if below is None:
                    below, path = rules.extra, f"{at}[{name}]"
                if below is not None:
                    follows = nearest[0] is new and not rules.atomic
                    pair = (item, before.get(name)) if follows else nearest
                    self.node(below, path, item, before.get(name), pair)

    def _rule(self, rules: RuleSet, rule: Rule, at: str, new: Any, old: Any, nearest: _Pair) -> None:
        if rule.is_transition and old is None and not rule.wants_optional:
            return
        if self.budget.left <= 0:
            self._stop(at, rules, "validation failed due to running out of cost budget, "
                       "no further validation rules will be run")  # fmt: skip
        values: dict[str, Any] = {}
        try:
            values["self"] = _converted(rules, new)
            if old is not None:
                values["oldSelf"] = _converted(rules, old)
            if rule.wants_optional:
                values["oldSelf"] = Optional(values["oldSelf"]) if old is not None else NONE
            if rule.program.evaluate(values, self.budget) is True:
                return
        except CostExceeded as error:
            self._stop(at, rules, f"'{error}': no further validation rules will be run due to call cost exceeds "
                       f"limit for rule: {rule.text}")  # fmt: skip
        except EvaluationError as error:
            why = f"{error} evaluating rule: {rule.text}"
            if str(error).startswith("no such overload"):
                why = (
                    f"'{error}': call arguments did not match a supported operator, function or macro signature for "
                    f"rule: {rule.text}"
                )
            self.errors.append(invalid(at or NOWHERE, rules.kind, why))
            return
        place = (f"{at}.{rule.path}" if at and rule.path[:1] != "[" else f"{at}{rule.path}") if rule.path else at
        detail = self._message(rules, rule, place, values)
        if rule.is_transition or not equal(*nearest):
            self.errors.append(_failure(rule, place or NOWHERE, rules.kind, new, detail))

    def _stop(self, at: str, rules: RuleSet, why: str) -> None:
        self.errors.append(invalid(at or NOWHERE, rules.kind, why))
        raise _Stop

    def _message(self, rules: RuleSet, rule: Rule, place: str, values: Mapping[str, Any]) -> str:
        default = str(rule.given.get("message") or f"failed rule: {rule.text}").strip()
        if rule.message is None:
            return default
        try:
            text = str(rule.message.evaluate(values, self.budget)).strip()
        except CostExceeded:
            self._stop(place, rules, "no further validation rules will be run due to call cost exceeds limit for "
                       f'messageExpression: "{rule.message.source}"')  # fmt: skip
        except EvaluationError:
            return default  # the documented way out: a message is never the reason that a rule cannot be told
        if self.budget.left < 0:
            self._stop(place, rules, "messageExpression evaluation failed due to running out of cost budget, no "
                       "further validation rules will be run")  # fmt: skip
        return text if text and "\n" not in text and len(text.encode()) <= _LONGEST_MESSAGE else default


def _key(item: Any, keys: tuple[str, ...]) -> str:
    return repr([item.get(k) for k in keys]) if isinstance(item, dict) else repr(item)


def _converted(rules: RuleSet, value: Any) -> Any:
    convert = rules.shape.convert if rules.shape else None
    return value if convert is None else convert(value)


def _failure(rule: Rule, at: str, kind: str, value: Any, detail: str) -> FieldError:
    """Scalars are shown; of objects and lists only the place is told."""
    simple = kind not in ("object", "array")
    match rule.given.get("reason"):
        case "FieldValueForbidden":
            return forbidden_field(at, detail)
        case "FieldValueRequired":
            return required(at, detail)
        case "FieldValueDuplicate":
            error = duplicate(at, value)
            return error if simple else replace(error, message="Duplicate value")
    error = invalid(at, value, detail)
    return error if simple else replace(error, message=f"Invalid value: {detail}")
